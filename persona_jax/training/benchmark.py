"""What a training step and an evaluation cost on this machine: seconds, compilation, memory."""

import functools
import pathlib
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from persona_jax import config as config_lib
from persona_jax.data import batching, loading, normalize
from persona_jax.data.batching import Indices
from persona_jax.data.joining import join_clips
from persona_jax.data.study import Study
from persona_jax.model import predict
from persona_jax.model.build import build, call
from persona_jax.runtime import parallel
from persona_jax.training import group_feed
from persona_jax.training.state import TrainState
from persona_jax.training.steps import FoldInputs, Pretraining, Shared
from persona_jax.types import MODALITIES, Config

SHAPES = {  # steps and widths of language, audio, vision
  'utterance': ((50, 1, 1), (100, 73, 100)),
  'aligned': ((50, 50, 50), (300, 5, 20)),
  'unaligned': ((50, 375, 500), (300, 5, 20)),
}
OF_CONFIG = 'config'


def measure(shape: str, config: Config, num_folds: int, repeats: int) -> dict[str, Any]:
  """Times training and evaluation of one batch per fold, all folds in one program.

  Args:
    shape: one of `SHAPES`, with random clips and the paper's model; or 'config', with the corpus
      and model of `config`.
    num_folds: that the program holds. Seconds are per fold.
    repeats: of which the median is taken.

  Returns:
    What `launch.benchmark` prints. `peak_rss_mb` is that of the whole process, so measure one shape
    per process.
  """
  if shape == OF_CONFIG:
    shared, inputs, clips = _of_corpus(config)
  else:
    config = config_lib.paper()
    shared, inputs, clips = random_corpus(shape, config.pretrain.batch_size)
  lengths = shared.clips.steps
  laid = lay_out(config, shared, inputs, clips, num_folds)
  mesh, model, size, state = laid.mesh, build(config.model), laid.size, laid.state
  num_parameters = sum(leaf[0].size for leaf in jax.tree.leaves(state.params))

  def evaluate(params, fold: tuple[FoldInputs, Indices], shared: Shared):
    inputs, batch = fold
    clips = predict.gather(shared.clips, inputs.normaliser, batch.clips[0], lengths)
    return call(model, params, clips)

  folds, shared = laid.folds, laid.shared
  train = laid.step.lower(state, folds, shared)
  started = time.perf_counter()
  train = train.compile()
  compile_s = time.perf_counter() - started
  evaluate = parallel.over_folds(evaluate, mesh).lower(state.params, folds, shared).compile()

  def train_once():
    nonlocal state
    state = jax.block_until_ready(train(state, folds, shared))

  return dict(
    shape=shape,
    batch=config.pretrain.batch_size,
    layers=config.model.num_layers,
    folds=size,
    device=f'{jax.device_count()} x {jax.devices()[0].device_kind}',
    train_step_s=round(median_s(train_once, repeats) / size, 5),
    eval_s=round(
      median_s(lambda: jax.block_until_ready(evaluate(state.params, folds, shared)), repeats)
      / size,
      5,
    ),
    compile_s=round(compile_s, 1),
    peak_rss_mb=_peak_rss_mb(),
    parameters=num_parameters,
  )


class LaidOut(NamedTuple):
  """A batch per fold on the devices, and the program of a training step."""

  mesh: Mesh
  size: int
  step: parallel.Program
  state: TrainState
  folds: tuple[FoldInputs, Indices]
  shared: Shared


def lay_out(
  config: Config, shared: Shared, inputs: FoldInputs, clips: np.ndarray, num_folds: int
) -> LaidOut:
  """Lays out folds that all learn from the same batch, `clips` [B] padded to the longest."""
  mesh = parallel.fold_mesh()
  steps = Pretraining(build(config.model), config, [shared.clips.steps])
  batch = batching.stack([batching.pad(clips, config.pretrain.batch_size)])
  size = parallel.padded(num_folds, mesh.size)
  folds = [(inputs._replace(rank=np.int32(rank)), batch) for rank in range(size)]
  laid = parallel.shard(parallel.stack(folds, size), mesh)
  there = parallel.replicate(shared, mesh)
  create = parallel.over_folds(lambda _, fold, shared: steps.create_state(fold[0], shared), mesh)
  step = parallel.over_folds(functools.partial(steps.train_step, 0), mesh, donate_state=True)
  return LaidOut(mesh, size, step, create((), laid, there), laid, there)


def median_s(function: Callable[[], Any], repeats: int) -> float:
  """Median seconds of a call, after one that does not count."""
  function()
  seconds = []
  for _ in range(repeats):
    started = time.perf_counter()
    function()
    seconds.append(time.perf_counter() - started)
  return statistics.median(seconds)


def _peak_rss_mb() -> int:
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak // (2**20 if sys.platform == 'darwin' else 2**10)  # bytes there, KiB elsewhere


def random_corpus(shape: str, num_clips: int) -> tuple[Shared, FoldInputs, np.ndarray]:
  """Random clips of one of `SHAPES`; see `random_clips`."""
  steps, widths = SHAPES[shape]
  return random_clips(
    dict(zip(MODALITIES, steps, strict=True)), dict(zip(MODALITIES, widths, strict=True)), num_clips
  )


def random_clips(
  steps: Mapping[str, int], widths: Mapping[str, int], num_clips: int
) -> tuple[Shared, FoldInputs, np.ndarray]:
  """Random clips of one length, a fold that trains on all of them, and their indices.

  Args:
    steps, widths: {modality: T_m} and {modality: D_m}.
  """
  random, clips = np.random.default_rng(0), np.arange(num_clips)
  frames = [
    {m: random.normal(size=(steps[m], width)) for m, width in widths.items()} for _ in clips
  ]
  corpus = join_clips(frames, widths)
  normaliser = normalize.fit(corpus, clips, config_lib.paper().normalise)
  labels = random.uniform(-3, 3, num_clips).astype(np.float32)
  inputs = FoldInputs(np.int32(0), np.int32(0), normaliser, (batching.pad(clips, num_clips),))
  return Shared(corpus, labels), inputs, clips


def _of_corpus(config: Config) -> tuple[Shared, FoldInputs, np.ndarray]:
  study = Study.plan(config, loading.load(config), pathlib.Path())
  fold = study.folds.all[0]
  return (
    group_feed.shared_corpus(study.corpus),
    group_feed.fold_inputs(study, fold),
    fold.train[: config.pretrain.batch_size],
  )
