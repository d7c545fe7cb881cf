"""What an epoch over CMU-MOSI's clips costs: in buckets, and padded to the longest clip."""

import pathlib
from typing import Any

import jax
import numpy as np

from persona_jax.data import batching, buckets, csd
from persona_jax.errors import UserError
from persona_jax.training import benchmark
from persona_jax.types import Config

MOSI = 'mosi'
_RATES = dict(language=3.0, audio=12.5, vision=15.0)  # steps per second
_WIDTHS = dict(language=300, audio=74, vision=35)


def measure(config: Config, num_folds: int, repeats: int) -> dict[str, Any]:
  """Times a training step in every bucket, and one that is padded to the longest clip.

  Features are random; the lengths of clips are those of the labels file of `config.data`.

  Args:
    config: of the model and the corpus; `pretrain.num_buckets` buckets, 0 for as many as a study
      of ten folds would choose.
    num_folds: that the program holds. Seconds are per fold.
    repeats: of which the median is taken.

  Returns:
    What `launch.benchmark` prints.

  Raises:
    UserError: there is no labels file.
  """
  lengths = _lengths(config)
  num_clips = len(lengths['language'])
  count = config.pretrain.num_buckets or buckets.worthwhile(
    lengths, config.model, 10 * num_clips * config.pretrain.num_epochs
  )
  found = buckets.of_steps(lengths, buckets.divide(lengths, count))
  batch_size = config.pretrain.batch_size
  sizes = [len(places) for places in found.places(np.arange(num_clips))]
  batches = [batching.num_batches(size, batch_size) for size in sizes]
  seconds = [_step_s(config, steps, num_folds, repeats) for steps in (*found.steps, found.longest)]
  epoch_s = sum(n * each for n, each in zip(batches, seconds[:-1], strict=True))
  padded_s = batching.num_batches(num_clips, batch_size) * seconds[-1]
  return dict(
    shape=MOSI,
    layers=config.model.num_layers,
    folds=num_folds,
    device=f'{jax.device_count()} x {jax.devices()[0].device_kind}',
    steps=[list(steps.values()) for steps in found.steps],
    batches=batches,
    train_step_s=[float(f'{each:.3g}') for each in seconds[:-1]],
    epoch_s=float(f'{epoch_s:.3g}'),
    padded_epoch_s=float(f'{padded_s:.3g}'),
    times_faster=float(f'{padded_s / epoch_s:.3g}'),
  )


def _lengths(config: Config) -> dict[str, np.ndarray]:
  """{modality: [N]} steps of the clips in the labels file, cut as the config says."""
  if not config.data.get('root'):
    raise UserError(
      f'--shape={MOSI} needs the durations of clips: name the folder of a labels file with '
      '--config=configs/mosi.py --config.data.root=DIR.'
    )
  durations = []
  with csd.ComputationalSequence(pathlib.Path(config.data.root) / config.data.labels) as sequence:
    for video in sequence.videos:
      _, intervals = sequence.read(video)
      durations.append(intervals[:, 1] - intervals[:, 0])
  seconds = np.concatenate(durations)
  return {
    m: np.ceil(seconds * rate).astype(int).clip(1, config.data.max_steps[m])
    for m, rate in _RATES.items()
  }


def _step_s(config: Config, steps: buckets.Steps, num_folds: int, repeats: int) -> float:
  """Median seconds of a training step per fold, of clips that are as long as the bucket."""
  shared, inputs, clips = benchmark.random_clips(steps, _WIDTHS, config.pretrain.batch_size)
  laid = benchmark.lay_out(config, shared, inputs, clips, num_folds)
  state = laid.state

  def once() -> None:
    nonlocal state
    state = jax.block_until_ready(laid.step(state, laid.folds, laid.shared))

  return benchmark.median_s(once, repeats) / laid.size
