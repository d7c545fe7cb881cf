"""Clips grouped by length, so that little of what is computed is padding.

Every bucket has a compiled program of its own, whose clips are padded to the longest of the bucket.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from persona_jax.data import batching
from persona_jax.data.batching import Indices
from persona_jax.types import Array, Config, RaggedClips

Steps = Mapping[str, int]  # {modality: T_m}

_EDGES = 50  # the lengths at which a bucket may end: so many quantiles
_MOST = 8  # buckets that a study chooses by itself
# Measured on two CPU cores with `launch.benchmark`: what a clip costs in training per layer, column
# of the model's width and step of its sequences, what a pair of steps costs against a step, and
# what the programs of a bucket take to compile.
_STEP_S, _PAIR, COMPILE_S = 5e-7, 0.001, 30.0


class Epochs(NamedTuple):
  """What all epochs of a study share.

  Attributes:
    steps: {modality: T_m} of every bucket, shortest first.
    batches: training steps per epoch in each bucket.
  """

  steps: tuple[Steps, ...]
  batches: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Buckets:
  """The buckets of a corpus, shortest first.

  Attributes:
    steps: {modality: T_m} that the clips of each bucket are padded to.
    of_clip: [N] the bucket of each clip: the first that holds it.
  """

  steps: tuple[Steps, ...]
  of_clip: np.ndarray

  @property
  def longest(self) -> Steps:
    """The steps that hold every clip."""
    return self.steps[-1]

  def places(self, clips: np.ndarray) -> list[np.ndarray]:
    """The places in `clips` [n], which are indices into the corpus, of each bucket's clips."""
    return [np.flatnonzero(self.of_clip[clips] == bucket) for bucket in range(len(self.steps))]

  def sizes(self, sets: Iterable[np.ndarray]) -> tuple[int, ...]:
    """The most clips of each bucket in any of the sets of clips [n]."""
    counts = [[len(places) for places in self.places(clips)] for clips in sets]
    return tuple(map(max, zip(*counts, strict=True))) if counts else (0,) * len(self.steps)

  def pad(self, clips: np.ndarray, sizes: Sequence[int]) -> tuple[Indices, ...]:
    """The clips [n] of each bucket, padded to `sizes`."""
    return tuple(
      batching.pad(clips[places], size)
      for places, size in zip(self.places(clips), sizes, strict=True)
    )

  def restore(self, clips: np.ndarray, sizes: Sequence[int], rows: np.ndarray) -> np.ndarray:
    """The rows [n, ...] of `clips` [n], in their order.

    Args:
      clips, sizes: as of `pad`.
      rows: [sum(sizes), ...] of what `pad` returned, one bucket behind the other.
    """
    restored = np.zeros((len(clips), *rows.shape[1:]), rows.dtype)
    start = 0
    for places, size in zip(self.places(clips), sizes, strict=True):
      restored[places] = rows[start : start + len(places)]
      start += size
    return restored


def of_steps(lengths: Mapping[str, Array], steps: Sequence[Steps]) -> Buckets:
  """Assigns clips to buckets.

  Args:
    lengths: {modality: [N]} of the clips.
    steps: of the buckets, shortest first; the last holds every clip.
  """
  fits = [
    np.all([np.asarray(lengths[m]) <= most for m, most in bucket.items()], axis=0)
    for bucket in steps
  ]
  assert fits[-1].all(), 'a clip is longer than the last bucket'
  return Buckets(tuple(steps), np.argmax(fits, axis=0))


def single(clips: RaggedClips) -> Buckets:
  """One bucket, which holds all clips."""
  return of_steps(clips.lengths, [clips.steps])


def divide(lengths: Mapping[str, Array], num_buckets: int) -> list[Steps]:
  """The steps of `num_buckets` buckets, or fewer, that leave the least to compute.

  Args:
    lengths: {modality: [N]} of the clips.
  """
  each = {m: np.asarray(n) for m, n in lengths.items()}
  longest = {m: max(1, int(n.max(initial=0))) for m, n in each.items()}
  share = np.max([n / longest[m] for m, n in each.items()], axis=0)
  ends = np.unique(np.quantile(share, np.linspace(0, 1, _EDGES + 1)[1:], method='higher'))
  # Steps and clips of everything up to each possible end; buckets lie between two of them.
  upto = [share <= end for end in ends]
  steps = [{m: max(1, int(n[held].max(initial=0))) for m, n in each.items()} for held in upto]
  steps[-1] = longest
  counts = np.array([held.sum() for held in upto])
  costs = np.array([work(bucket) for bucket in steps])
  return [steps[end] for end in _best_ends(counts, costs, num_buckets)]


def worthwhile(lengths: Mapping[str, Array], config: Config, num_clips: int) -> int:
  """How many buckets save more time than their programs take to compile.

  The estimate is that of two CPU cores whatever the machine, so that a config means the same
  training everywhere.

  Args:
    lengths: {modality: [N]} of the clips.
    config: `config.model`.
    num_clips: that the study's gradient steps learn from, all epochs together.
  """

  def seconds(num_buckets: int) -> float:
    buckets = of_steps(lengths, divide(lengths, num_buckets))
    each = np.array([training_s(steps, config) for steps in buckets.steps])
    return num_clips * float(np.mean(each[buckets.of_clip])) + COMPILE_S * len(buckets.steps)

  return min(range(1, _MOST + 1), key=seconds)


def _best_ends(counts: np.ndarray, costs: np.ndarray, num_buckets: int) -> list[int]:
  """The ends of at most `num_buckets` ranges of least cost, by dynamic programming.

  Args:
    counts: [n] clips up to each possible end.
    costs: [n] of a clip that is padded to that end.
  """
  best = [(float(count * costs[end]), [end]) for end, count in enumerate(counts)]
  for _ in range(num_buckets - 1):
    longer = [
      [
        (least + float((counts[end] - counts[i]) * costs[end]), [*ends, end])
        for i, (least, ends) in enumerate(best[:end])
      ]
      for end in range(len(counts))
    ]
    best = [min([own, *more], key=lambda it: it[0]) for own, more in zip(best, longer, strict=True)]
  return best[-1][1]


def training_s(steps: Steps, config: Config) -> float:
  """Seconds that a clip of so many steps takes in a gradient step; `config` is `config.model`."""
  return config.num_layers * config.width * _STEP_S * work(steps)


def work(steps: Steps) -> float:
  """What a clip of so many steps costs, in steps of a sequence that attends to nothing.

  Every modality has a sequence of its own, and attends to all.
  """
  total = sum(steps.values())
  return total + _PAIR * total * total
