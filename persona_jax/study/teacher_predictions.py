"""What the folds' teachers say: the baseline, and the start of the mean shift and Bayesian arms."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from persona_jax.arms import BASELINE, MEAN_SHIFT
from persona_jax.data import batching
from persona_jax.data.folds import Fold
from persona_jax.data.study import Study
from persona_jax.model import predict
from persona_jax.model.build import build
from persona_jax.runtime import parallel
from persona_jax.study.adaptation import expect_finite
from persona_jax.training import memory, pretrain
from persona_jax.training.checkpoint import Checkpoints
from persona_jax.training.pretrain import Pretrained
from persona_jax.types import Array

STAGE, READING = 'plain', 'reading'


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
  fold_bytes = memory.copy_bytes(teachers[0].params, study.corpus.clips, 1, study.config.model)
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
    predictions, read = _map_folds(
      study, chosen, of_chosen, predict.predict_and_read, [everything] * len(group), len(everything)
    )
    for place, fold in enumerate(chosen):
      new = TeacherReadings(predictions[place], read[place])
      expect_finite(f'{fold.name} ({fold.label})', BASELINE, predictions[place])
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
  length = study.folds.num_held_out + (study.folds.num_valid if with_valid else 0)
  predictions = _map_folds(study, folds, teachers, predict.predict, clips, length)
  return [
    TeacherPredictions(*np.split(row[: len(indices)], [len(fold.held_out)]))
    for fold, indices, row in zip(folds, clips, predictions[: len(folds)], strict=True)
  ]


def _map_folds(
  study: Study,
  folds: Sequence[Fold],
  teachers: Sequence[Pretrained],
  function: Callable[..., Any],
  clips: Sequence[np.ndarray],
  length: int,
) -> Any:
  """`predict.predict`, or another function like it, of every fold's clips padded to `length`."""
  mesh, model = parallel.fold_mesh(), build(study.config.model)
  # At least two folds per device: XLA drops a loop of one and rounds otherwise, and a fold's
  # records would depend on how many devices and neighbours it had.
  size = parallel.padded(max(len(folds), 2 * mesh.size), mesh.size)

  def one_fold(params, inputs, shared):
    normaliser, indices = inputs
    return function(model, params, normaliser, shared.clips, indices)

  inputs = [
    (study.normaliser(fold), batching.pad(indices, length).clips)
    for fold, indices in zip(folds, clips, strict=True)
  ]
  params = [teacher.params for teacher in teachers]
  return parallel.fetch(
    parallel.over_folds(one_fold, mesh)(
      parallel.shard(parallel.stack(params, size), mesh),
      parallel.shard(parallel.stack(inputs, size), mesh),
      parallel.replicate(pretrain.shared_corpus(study.corpus), mesh),
    )
  )
