"""The inputs of programs that train a group of folds, brought to the devices."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jax.sharding import Mesh

from persona_jax.data import batching, fold_plan
from persona_jax.data.corpus import Corpus
from persona_jax.data.folds import Fold
from persona_jax.data.study import Study
from persona_jax.runtime import parallel
from persona_jax.training.feed import Feed
from persona_jax.training.steps import FoldInputs, Shared

_STREAMED_STEPS = 16  # whose clips are brought together, where clips are streamed


def shared_corpus(corpus: Corpus) -> Shared:
  return Shared(corpus.clips, corpus.labels)


def fold_inputs(study: Study, fold: Fold) -> FoldInputs:
  """The fold's device inputs, its validation clips padded to the length that all folds share."""
  return FoldInputs(
    np.int32(fold.training_seed),
    np.int32(fold.rank),
    study.normaliser(fold),
    study.folds.buckets.pad(fold.valid, study.folds.valid_sizes),
  )


class Fed(NamedTuple):
  """Inputs on the devices: a tree per fold, what all folds share, and the steps of an epoch."""

  inputs: tuple[FoldInputs, batching.Indices]
  shared: Shared
  steps: range


class GroupFeed:
  """Brings what the steps of some folds need, which share one program."""

  def __init__(self, study: Study, size: int, mesh: Mesh):
    """`size` is the number of folds that the program holds."""
    self._study, self._plan, self._size, self._mesh = study, study.folds, size, mesh
    self._feed = Feed(study.corpus, study.folds.buckets, mesh)

  def validation(self, folds: Sequence[Fold]) -> Fed:
    """The inputs of the end of an epoch; of its batches, only their number counts."""
    sizes = [self._size * size for size in self._plan.valid_sizes]
    clips = np.concatenate([fold.valid for fold in folds])
    return self._fed(folds, self._batches(folds, 0), clips, sizes)

  def _batches(self, folds: Sequence[Fold], epoch: int) -> list[batching.Indices]:
    return [fold_plan.epoch_batches(self._plan, fold, epoch) for fold in folds]

  def portions(self, folds: Sequence[Fold], epoch: int, steps: range) -> Iterator[Fed]:
    """The inputs of some steps of an epoch: of all of them, or where clips are streamed of a few.

    The next few are brought while these are taken.
    """
    most = _STREAMED_STEPS if self._feed.streams else self._plan.num_batches
    parts = [steps[start : start + most] for start in range(0, len(steps), most)]
    batches = self._batches(folds, epoch)
    sizes = self._sizes_of_steps(most)

    def bring(part: range) -> Fed:
      clips = np.concatenate([each.clips[part.start : part.stop].ravel() for each in batches])
      return self._fed(folds, batches, clips, sizes)._replace(steps=part)

    with ThreadPoolExecutor(1, thread_name_prefix='bringing clips') as pool:
      coming = pool.submit(bring, parts[0])
      for following in (*parts[1:], None):
        now = coming.result()
        if following is not None:
          coming = pool.submit(bring, following)
        yield now

  def _sizes_of_steps(self, count: int) -> list[int]:
    """Per bucket, the most clips of so many steps, of which all may be of the longest clips."""
    sizes = []
    for batches in reversed(self._plan.batches):
      taken = min(count, batches)
      count -= taken
      sizes.insert(0, self._size * taken * self._plan.batch_size)
    return sizes

  def _fed(
    self,
    folds: Sequence[Fold],
    batches: Sequence[batching.Indices],
    clips: np.ndarray,
    sizes: Sequence[int],
  ) -> Fed:
    """Inputs whose clips are places among `clips`, which are brought."""
    shared, place = self._feed.of(clips, sizes)
    inputs = []
    for fold, own in zip(folds, batches, strict=True):
      fed = fold_inputs(self._study, fold)
      valid = tuple(each._replace(clips=place(each.clips)) for each in fed.valid)
      inputs.append((fed._replace(valid=valid), own._replace(clips=place(own.clips))))
    return Fed(self.put(inputs), shared, range(0))

  def put(self, trees: list) -> parallel.Tree:
    """Puts one tree per fold on the devices; the first is repeated to fill the program."""
    return parallel.shard(parallel.stack(trees, self._size), self._mesh)
