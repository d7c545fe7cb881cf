"""What the folds' teachers say: the baseline, and the start of the mean shift and Bayesian arms."""

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from persona_jax.arms import BASELINE, MEAN_SHIFT
from persona_jax.data.folds import Fold
from persona_jax.data.study import Study
from persona_jax.model import predict
from persona_jax.model.build import build
from persona_jax.runtime import parallel
from persona_jax.study.adaptation import expect_finite
from persona_jax.training import memory
from persona_jax.training.checkpoint import Checkpoints
from persona_jax.training.feed import Feed
from persona_jax.training.pretrain import Pretrained
from persona_jax.training.steps import Shared
from persona_jax.types import Array, Params

STAGE, READING = 'plain', 'reading'
_STREAMED_CLIPS = 2048  # of a fold that are brought together, where clips are streamed


class TeacherPredictions(NamedTuple):
  """What a fold's teacher predicts without any personalisation.

  Attributes:
    held_out: [n] of `Fold.held_out`.
    valid: [V] of `Fold.valid`, which the mean shift needs; empty in a study without it.
  """

  held_out: np.ndarray
  valid: np.ndarray


class TeacherReadings(NamedTuple):
  """What a fold's teacher says of every clip of the corpus.

  Attributes:
    predictions: [N].
    read: [N, n] what its head reads.
  """

  predictions: Array
  read: Array


class TeacherPredictor:
  """Predicts the held-out clips with every teacher; saved predictions are reused.

  So a fold's baseline stays the same to the last bit when users or arms are added to a study.
  """

  def __init__(self, study: Study):
    """Loads what earlier runs have predicted."""
    self._study, self._with_valid = study, MEAN_SHIFT in study.config.study.arms
    self._folds = study.folds.of_teachers
    self._results = {
      fold.name: saved for fold in self._folds if (saved := _load(study, fold)) is not None
    }
    self._programs: dict[int, _Program] = {}

  def compile_ahead(self, like: Params) -> None:
    """Begins to compile what the first folds need, whose teachers are still to be trained.

    Args:
      like: the shapes and types of a teacher's parameters.
    """
    for group in list(_groups(self._study, self._todo(), like))[:1]:
      self._program(len(group)).compile(like, *self._clips_of(group))

  def predict(self, teachers: Sequence[Pretrained]) -> list[TeacherPredictions]:
    """What each teacher of `FoldPlan.of_teachers` predicts.

    Raises:
      UserError: a prediction is not finite.
    """
    for group in _groups(self._study, self._todo(), teachers[0].params):
      folds, clips = self._clips_of(group)
      params = [teachers[i].params for i in group]
      predicted = self._program(len(group))(params, folds, clips)
      for fold, rows in zip(folds, predicted, strict=True):
        self._keep(fold, TeacherPredictions(*np.split(rows, [len(fold.held_out)])))
    self._programs.clear()  # and with them the clips on the devices
    return [self._results[fold.name] for fold in self._folds]

  def _todo(self) -> list[int]:
    """The places of the folds that lack predictions."""
    return [
      i
      for i, fold in enumerate(self._folds)
      if fold.name not in self._results
      or self._with_valid
      and not len(self._results[fold.name].valid)
    ]

  def _clips_of(self, group: Sequence[int]) -> tuple[list[Fold], list[np.ndarray]]:
    """Some folds, and the clips to predict of each."""
    folds = [self._folds[i] for i in group]
    if not self._with_valid:
      return folds, [fold.held_out for fold in folds]
    return folds, [np.concatenate([fold.held_out, fold.valid]) for fold in folds]

  def _program(self, num_folds: int) -> '_Program':
    if num_folds not in self._programs:
      sizes = self._study.folds.held_out_sizes
      if self._with_valid:
        sizes = tuple(map(operator.add, sizes, self._study.folds.valid_sizes))
      self._programs[num_folds] = _Program(self._study, predict.predict, num_folds, sizes)
    return self._programs[num_folds]

  def _keep(self, fold: Fold, new: TeacherPredictions) -> None:
    expect_finite(f'{fold.name} ({fold.label})', BASELINE, new.held_out)
    if fold.name in self._results:
      new = new._replace(held_out=self._results[fold.name].held_out)
    _save(self._study, fold, new)
    self._results[fold.name] = new


def _groups(study: Study, todo: Sequence[int], params: Params) -> Iterator[Sequence[int]]:
  """Splits the folds to predict into those that one call holds.

  Args:
    params: of one teacher, or their shapes.
  """
  if not todo:
    return
  fold_bytes = memory.copy_bytes(
    params, study.folds.buckets.longest, study.corpus.clips.widths, 1, study.config.model
  )
  size = parallel.prediction_group_size(len(todo), parallel.fold_mesh(), fold_bytes)
  for start in range(0, len(todo), size):
    yield todo[start : start + size]


def _load(study: Study, fold: Fold) -> TeacherPredictions | None:
  with Checkpoints(study.checkpoints, STAGE, fold.name) as checkpoints:
    found = checkpoints.newest()
  return None if found is None else TeacherPredictions(found[1]['own'], found[1]['valid'])


def _save(study: Study, fold: Fold, predictions: TeacherPredictions) -> None:
  with Checkpoints(study.checkpoints, STAGE, fold.name) as checkpoints:
    checkpoints.save(
      max(checkpoints.steps(), default=0) + 1,
      dict(own=predictions.held_out, valid=predictions.valid),
    )


def read_with_teacher(study: Study, teachers: Sequence[Pretrained]) -> list[TeacherReadings]:
  """Lets every teacher read the whole corpus; saved readings are reused."""
  folds, results = study.folds.of_teachers, {}
  everything = np.arange(len(study.corpus.names), dtype=np.int32)
  for fold in folds:
    with Checkpoints(study.checkpoints, READING, fold.name) as checkpoints:
      if (found := checkpoints.newest()) is not None:
        results[fold.name] = TeacherReadings(**found[1])
  todo = [i for i, fold in enumerate(folds) if fold.name not in results]
  sizes = study.folds.buckets.sizes([everything])
  for group in _groups(study, todo, teachers[0].params):
    chosen, params = [folds[i] for i in group], [teachers[i].params for i in group]
    program = _Program(study, predict.predict_and_read, len(group), sizes)
    found = program(params, chosen, [everything] * len(group))
    for fold, rows in zip(chosen, found, strict=True):
      new = TeacherReadings(*rows)
      expect_finite(f'{fold.name} ({fold.label})', BASELINE, rows[0])
      with Checkpoints(study.checkpoints, READING, fold.name) as checkpoints:
        checkpoints.save(1, new._asdict())
      results[fold.name] = new
  return [results[fold.name] for fold in folds]


class _Program:
  """`predict.predict`, or another function like it, of clips of some folds."""

  def __init__(
    self, study: Study, function: Callable[..., Any], num_folds: int, sizes: Sequence[int]
  ):
    """`sizes` are what the clips of each bucket are padded to."""
    self._study, self._mesh = study, parallel.fold_mesh()
    # At least two folds per device: XLA drops a loop of one and rounds otherwise, and a fold's
    # records would depend on how many devices and neighbours it had.
    self._size = parallel.padded(max(num_folds, 2 * self._mesh.size), self._mesh.size)
    self._feed = Feed(study.corpus, study.folds.buckets, self._mesh)
    self._at_once = _STREAMED_CLIPS if self._feed.streams else sum(sizes)
    self._sizes = [min(count, self._at_once) for count in sizes]
    model, steps = build(study.config.model), study.folds.buckets.steps

    def one_fold(params, inputs, shared):
      normaliser, indices = inputs
      bound = functools.partial(function, model, params)
      return predict.of_corpus(bound, shared.clips, normaliser, indices, steps)

    self._program = parallel.over_folds(one_fold, self._mesh)

  def compile(self, like: Params, folds: Sequence[Fold], clips: Sequence[np.ndarray]) -> None:
    """Begins to compile, for parameters of the shapes and types `like`."""
    untrained = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    now = [each[: self._at_once] for each in clips]
    self._program.compile(
      self._stacked([untrained] * len(folds), shapes_alone=True),
      *self._inputs(folds, now, shapes_alone=True),
      ahead=True,
    )

  def __call__(
    self, params: Sequence[Params], folds: Sequence[Fold], clips: Sequence[np.ndarray]
  ) -> list[Any]:
    """Of every fold's clips [n], with the parameters of its teacher: [n, ...] per fold."""
    stacked, buckets = self._stacked(params), self._study.folds.buckets
    found: list[list[Any]] = [[] for _ in clips]
    for start in range(0, max(map(len, clips)), self._at_once):
      now = [each[start : start + self._at_once] for each in clips]
      rows = parallel.fetch(self._program(stacked, *self._inputs(folds, now)))
      for i, own in enumerate(now):
        found[i].append(
          jax.tree.map(lambda each, i=i, own=own: buckets.restore(own, self._sizes, each[i]), rows)
        )
    return [jax.tree.map(lambda *parts: np.concatenate(parts), *each) for each in found]

  def _stacked(self, params: Sequence[Params], shapes_alone: bool = False) -> Params:
    return parallel.shard(parallel.stack(list(params), self._size), self._mesh, shapes_alone)

  def _inputs(
    self, folds: Sequence[Fold], clips: Sequence[np.ndarray], shapes_alone: bool = False
  ) -> tuple[Any, Shared]:
    """What the program takes beside the parameters."""
    buckets, sizes = self._study.folds.buckets, self._sizes
    most = [self._size * count for count in sizes]
    shared, place = self._feed.of(np.concatenate(clips), most, shapes_alone)
    inputs = [
      (
        self._study.normaliser(fold),
        tuple(place(part.clips) for part in buckets.pad(own, sizes)),
      )
      for fold, own in zip(folds, clips, strict=True)
    ]
    return parallel.shard(parallel.stack(inputs, self._size), self._mesh, shapes_alone), shared
