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
from persona_jax.types import Array

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


def predict_with_teacher(study: Study, teachers: Sequence[Pretrained]) -> list[TeacherPredictions]:
  """Predicts the held-out clips with every teacher; saved predictions are reused.

  So a fold's baseline stays the same to the last bit when users or arms are added to a study.
  """
  folds, with_valid = study.folds.of_teachers, MEAN_SHIFT in study.config.study.arms
  results = {fold.name: saved for fold in folds if (saved := _load(study, fold)) is not None}
  todo = [
    i
    for i, fold in enumerate(folds)
    if fold.name not in results or with_valid and not len(results[fold.name].valid)
  ]
  for group in _groups(study, todo, teachers):
    predicted = _predict_folds(
      study, [folds[i] for i in group], [teachers[i] for i in group], with_valid
    )
    for i, new in zip(group, predicted, strict=True):
      fold = folds[i]
      expect_finite(f'{fold.name} ({fold.label})', BASELINE, new.held_out)
      if fold.name in results:
        new = new._replace(held_out=results[fold.name].held_out)
      _save(study, fold, new)
      results[fold.name] = new
  return [results[fold.name] for fold in folds]


def _groups(
  study: Study, todo: Sequence[int], teachers: Sequence[Pretrained]
) -> Iterator[Sequence[int]]:
  """Splits the folds to predict into those that one call holds."""
  if not todo:
    return
  fold_bytes = memory.copy_bytes(
    teachers[0].params,
    study.folds.buckets.longest,
    study.corpus.clips.widths,
    1,
    study.config.model,
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
  for group in _groups(study, todo, teachers):
    chosen, of_chosen = [folds[i] for i in group], [teachers[i] for i in group]
    found = _map_folds(
      study,
      chosen,
      of_chosen,
      predict.predict_and_read,
      [everything] * len(group),
      study.folds.buckets.sizes([everything]),
    )
    for fold, rows in zip(chosen, found, strict=True):
      new = TeacherReadings(*rows)
      expect_finite(f'{fold.name} ({fold.label})', BASELINE, rows[0])
      with Checkpoints(study.checkpoints, READING, fold.name) as checkpoints:
        checkpoints.save(1, new._asdict())
      results[fold.name] = new
  return [results[fold.name] for fold in folds]


def _predict_folds(
  study: Study, folds: Sequence[Fold], teachers: Sequence[Pretrained], with_valid: bool
) -> list[TeacherPredictions]:
  """Predicts all of `folds` in one compiled call."""
  clips = [
    np.concatenate([fold.held_out, fold.valid]) if with_valid else fold.held_out for fold in folds
  ]
  sizes = study.folds.held_out_sizes
  if with_valid:
    sizes = tuple(map(operator.add, sizes, study.folds.valid_sizes))
  predictions = _map_folds(study, folds, teachers, predict.predict, clips, sizes)
  return [
    TeacherPredictions(*np.split(row, [len(fold.held_out)]))
    for fold, row in zip(folds, predictions, strict=True)
  ]


def _map_folds(
  study: Study,
  folds: Sequence[Fold],
  teachers: Sequence[Pretrained],
  function: Callable[..., Any],
  clips: Sequence[np.ndarray],
  sizes: tuple[int, ...],
) -> list[Any]:
  """`predict.predict`, or another function like it, of every fold's clips [n]: [n, ...] per fold.

  Args:
    sizes: what the clips of each bucket are padded to.
  """
  mesh, model, buckets = parallel.fold_mesh(), build(study.config.model), study.folds.buckets
  # At least two folds per device: XLA drops a loop of one and rounds otherwise, and a fold's
  # records would depend on how many devices and neighbours it had.
  size = parallel.padded(max(len(folds), 2 * mesh.size), mesh.size)

  def one_fold(params, inputs, shared):
    normaliser, indices = inputs
    bound = functools.partial(function, model, params)
    return predict.of_corpus(bound, shared.clips, normaliser, indices, buckets.steps)

  program, feed = parallel.over_folds(one_fold, mesh), Feed(study.corpus, buckets, mesh)
  params = parallel.shard(parallel.stack([each.params for each in teachers], size), mesh)
  at_once = _STREAMED_CLIPS if feed.streams else sum(sizes)
  sizes = tuple(min(count, at_once) for count in sizes)
  found: list[list[Any]] = [[] for _ in clips]
  for start in range(0, max(map(len, clips)), at_once):
    now = [each[start : start + at_once] for each in clips]
    shared, place = feed.of(np.concatenate(now), [size * count for count in sizes])
    inputs = [
      (study.normaliser(fold), tuple(place(part.clips) for part in buckets.pad(own, sizes)))
      for fold, own in zip(folds, now, strict=True)
    ]
    rows = parallel.fetch(
      program(params, parallel.shard(parallel.stack(inputs, size), mesh), shared)
    )
    for i, own in enumerate(now):
      found[i].append(
        jax.tree.map(lambda each, i=i, own=own: buckets.restore(own, sizes, each[i]), rows)
      )
  return [jax.tree.map(lambda *parts: np.concatenate(parts), *each) for each in found]
