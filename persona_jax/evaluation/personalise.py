"""The study's second stage: every arm's personalisations, group by group, each checkpointed."""

import collections
import functools
import pathlib
from typing import Iterator, NamedTuple, Sequence

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from persona_jax import config as configuration, parallel, preemption
from persona_jax.data import batching
from persona_jax.data.corpus import Corpus
from persona_jax.data.folds import Draws, Fold
from persona_jax.errors import UserError
from persona_jax.progress import Progress
from persona_jax.training import pretrain
from persona_jax.training.adapt import (FoldTask, Personalising, Recipe, Trials, predict_trials,
                                        recipes)
from persona_jax.training.checkpoint import Checkpoints
from persona_jax.training.pretrain import Plan, Pretrained

STAGE = 'adapt'
_STEP = 1  # a fold's personalisations by one program are saved once, when all are done


class Cell(NamedTuple):
  """An arm and how many clips it personalises on."""

  arm: str
  shots: int


# {fold name: {cell: [R, k] predictions of all the user's clips}}
Results = dict[str, dict[Cell, np.ndarray]]


class _Program:
  """The arms that one compiled program personalises: they differ in lambda and shots alone."""

  def __init__(self, name: str, arms: dict[str, Recipe], config: ml_collections.ConfigDict,
               mesh: Mesh):
    self.name, self._mesh = name, mesh
    self.cells = [Cell(arm, shots) for arm in arms for shots in configuration.shots(config)]
    self._arms, self._most = arms, max(configuration.shots(config))
    personalising = Personalising(config, next(iter(arms.values())))
    self.run = parallel.over_folds(functools.partial(predict_trials, personalising), mesh)

  def trials(self, fold: Fold, draws: Draws) -> Trials:
    """Every cell's draws one behind the other, the first repeated to fill the devices."""
    support = fold.own[draws.support].astype(np.int32)
    trials = [Trials(clips, (np.arange(self._most) < cell.shots).astype(np.float32),
                     np.float32(self._arms[cell.arm].label_weight))
              for cell in self.cells for clips in support]
    return parallel.stack(trials, parallel.padded_trials(len(trials), self._mesh))


class StudyPersonaliser:
  """Runs the programs of the study's arms over the folds."""

  def __init__(self, corpus: Corpus, plan: Plan, config: ml_collections.ConfigDict,
               workdir: pathlib.Path, draws: Sequence[Draws]):
    self._corpus, self._plan, self._workdir, self._draws = corpus, plan, workdir, draws
    self._num_draws = config.study.num_draws
    self._mesh = parallel.trial_mesh(len(plan.chosen))
    self._size = parallel.group_size(len(plan.chosen), self._mesh)
    programs = collections.defaultdict(dict)
    for arm, recipe in recipes(config.adapt).items():
      if arm in config.study.arms:
        programs[recipe.program][arm] = recipe
    self._programs = [_Program(name, arms, config, self._mesh)
                      for name, arms in programs.items()]
    self._results: Results = collections.defaultdict(dict)

  def run(self, teachers: Sequence[Pretrained]) -> Iterator[Results]:
    """Personalises what is still to do, and yields all there is whenever some folds are done.

    Yields:
      Of the folds with every arm; first of those that an earlier run finished, if any.

    Raises:
      Preempted: the process is asked to stop; what is done is saved.
      UserError: a prediction is not finite.
    """
    folds = self._plan.chosen
    todo = [i for i, fold in enumerate(folds) if not self._load(fold)]
    with Progress('personalising', len(folds), 'users') as progress:
      progress.advance(len(folds) - len(todo))
      yield self._complete()
      if todo:
        shared = parallel.replicate(pretrain.shared_corpus(self._corpus), self._mesh)
      for start in range(0, len(todo), self._size):
        group = todo[start:start + self._size]
        for program in self._programs:
          if preemption.requested():
            raise preemption.Preempted(f'with {len(self._complete())} users personalised')
          self._run(program, group, [teachers[i] for i in group], shared)
        progress.advance(len(group), f'user {folds[group[-1]].user}')
        yield self._complete()

  def _complete(self) -> Results:
    cells = {cell for program in self._programs for cell in program.cells}
    return {fold.name: self._results[fold.name] for fold in self._plan.chosen
            if set(self._results[fold.name]) == cells}

  def _checkpoints(self, fold: Fold, program: _Program) -> Checkpoints:
    return Checkpoints(self._workdir, STAGE, f'{fold.name}_{program.name}')

  def _load(self, fold: Fold) -> bool:
    """Reads what an earlier run did of a fold; whether that is all."""
    whole = True
    for program in self._programs:
      shape = (len(program.cells), self._num_draws, len(fold.own))
      like = {'predictions': jax.ShapeDtypeStruct(shape, np.float32)}
      with self._checkpoints(fold, program) as saved:
        tree = saved.load(_STEP, like) if _STEP in saved.steps() else None
      if tree is None:
        whole = False
      else:
        self._results[fold.name] |= zip(program.cells, tree['predictions'])
    return whole

  def _run(self, program: _Program, group: Sequence[int], teachers: Sequence[Pretrained],
           shared: pretrain.Shared) -> None:
    """One program for a group of folds, unless an earlier run did it for all of them."""
    folds = [self._plan.chosen[i] for i in group]
    if all(set(program.cells) <= set(self._results[fold.name]) for fold in folds):
      return
    tasks = [self._task(fold, teacher) for fold, teacher in zip(folds, teachers)]
    trials = [program.trials(fold, self._draws[i]) for fold, i in zip(folds, group)]
    predictions = parallel.fetch(program.run(
        parallel.shard(parallel.stack(tasks, self._size), self._mesh),
        parallel.shard_trials(parallel.stack(trials, self._size), self._mesh), shared))
    for rows, fold in zip(predictions, folds):
      rows = rows[:len(program.cells) * self._num_draws, :len(fold.own)]
      rows = rows.reshape(len(program.cells), self._num_draws, -1)
      for cell, row in zip(program.cells, rows):
        expect_finite(fold, cell.arm, row)
      with self._checkpoints(fold, program) as saved:
        saved.save(_STEP, {'predictions': rows})
      self._results[fold.name] |= zip(program.cells, rows)

  def _task(self, fold: Fold, teacher: Pretrained) -> FoldTask:
    inputs = pretrain.fold_inputs(self._corpus, fold, self._plan.num_valid)
    return FoldTask(teacher.params, inputs.normaliser,
                    batching.pad(fold.own, self._plan.num_own).clips)


def expect_finite(fold: Fold, arm: str, predictions: np.ndarray) -> None:
  """Raises `UserError` if any of an arm's predictions, [R, k] or [k], is not finite."""
  wrong = np.argwhere(~np.isfinite(predictions))
  if len(wrong):
    draw = f', draw {wrong[0][0]}' if predictions.ndim > 1 else ''
    raise UserError(f'{fold.name} ({fold.user}), arm {arm}{draw}: a prediction is not finite; '
                    '--debug_nans finds the operation.')
