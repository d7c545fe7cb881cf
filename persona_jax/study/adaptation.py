"""The study's second stage: fine-tune and predict with every arm, a group of users at a time."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from persona_jax import config as config_lib
from persona_jax.arms import heeding, needed
from persona_jax.data import batching
from persona_jax.data.folds import Case
from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.runtime import parallel, preemption
from persona_jax.runtime.progress import Progress
from persona_jax.training import memory, pretrain
from persona_jax.training.checkpoint import Checkpoints
from persona_jax.training.fine_tune import (
  FineTuner,
  FoldTask,
  Recipe,
  Supports,
  fine_tune_and_predict,
  recipes,
)
from persona_jax.training.pretrain import Pretrained
from persona_jax.types import Config

STAGE = 'adapt'


class Cell(NamedTuple):
  """An arm, the number of clips that it personalises on, and the control, if it is of one."""

  arm: str
  shots: int
  control: str = ''

  @property
  def name(self) -> str:
    """Names the cell's predictions in a checkpoint."""
    return f'{self.arm}-{self.shots}' + (f'-{self.control}' if self.control else '')

  @classmethod
  def named(cls, name: str) -> 'Cell':
    """The cell of this name."""
    arm, shots, *control = name.split('-')
    return cls(arm, int(shots), *control)


# {case name: {cell: [R, n] predictions of all the user's clips}}
Results = dict[str, dict[Cell, np.ndarray]]


class _Program:
  """The arms that share a compiled program: they differ only in lambda and shots."""

  def __init__(self, name: str, arms: dict[str, Recipe], config: Config, mesh: Mesh):
    self.name, self._mesh = name, mesh
    self.arms = arms
    self._most = max(config_lib.shots(config))
    self._fine_tuner = FineTuner(config, next(iter(arms.values())))
    self._compiled: dict[int, Callable[..., jax.Array]] = {}

  def run(self, vmapped: int, *arrays: Any) -> jax.Array:
    """`fine_tune_and_predict` of a group of users, `vmapped` support sets batched into one."""
    if vmapped not in self._compiled:
      self._compiled[vmapped] = parallel.over_folds(
        functools.partial(fine_tune_and_predict, self._fine_tuner, vmapped), self._mesh
      )
    return self._compiled[vmapped](*arrays)

  def supports(
    self, drawn: Mapping[str, np.ndarray], todo: Sequence[tuple[Cell, int]], length: int
  ) -> Supports:
    """The support sets of some cells and draws, the first repeated up to `length`.

    Args:
      drawn: {control: [R, K] clips}.
      todo: cells and draws.
      length: of the result.
    """
    clips = {control: self._padded(support) for control, support in drawn.items()}
    supports = [
      Supports(
        clips[cell.control][draw],
        (np.arange(self._most) < cell.shots).astype(np.float32),
        np.float32(self.arms[cell.arm].label_weight),
      )
      for cell, draw in todo
    ]
    return parallel.stack(supports, length)

  def _padded(self, support: np.ndarray) -> np.ndarray:
    """Supports [R, K] with the first clip repeated up to the most shots."""
    clips = support.astype(np.int32)
    padding = np.repeat(clips[:, :1], self._most - clips.shape[1], axis=1)
    return np.concatenate([clips, padding], axis=1)


class StudyPersonaliser:
  """Runs the programs of the study's arms over the users of the chosen folds."""

  def __init__(self, study: Study):
    self._study, config = study, study.config
    self._cases = study.folds.cases_of_teachers
    self._mesh = parallel.trial_mesh(len(self._cases))
    programs: dict[str, dict[str, Recipe]] = {}
    self._program_of = {arm: recipe.program for arm, recipe in recipes(config.adapt).items()}
    for arm, recipe in recipes(config.adapt).items():
      if arm in config.study.arms:
        programs.setdefault(recipe.program, {})[arm] = recipe
    self._programs = [_Program(name, arms, config, self._mesh) for name, arms in programs.items()]
    self._results: Results = {case.name: {} for case in self._cases}

  def run(self, teachers: Sequence[Pretrained]) -> Iterator[Results]:
    """Personalises what is still to do, and yields whenever some users are done.

    Args:
      teachers: of `FoldPlan.of_teachers`.

    Yields:
      The results of all `FoldPlan.cases_of_teachers` that are complete; first of those that an
      earlier run completed.

    Raises:
      Preempted: the process is asked to stop; what is done is saved.
      UserError: a prediction is not finite.
    """
    cases, folds = self._cases, self._study.folds.of_teachers
    teacher_of = {fold.name: teacher for fold, teacher in zip(folds, teachers, strict=True)}
    for case in cases:
      for program in self._programs:
        self._load(case, program)
    complete = self._complete()
    todo = [case for case in cases if case.name not in complete]
    several = self._study.folds.num_teachers
    unit = f'users of {several} teachers' if several > 1 else 'users'
    with Progress('personalising', len(cases), unit) as progress:
      progress.advance(len(cases) - len(todo))
      yield complete
      if todo:
        shared = parallel.replicate(pretrain.shared_corpus(self._study.corpus), self._mesh)
      size = parallel.group_size(len(cases), self._mesh, self._trial_bytes(teachers[0]))
      for start in range(0, len(todo), size):
        group = todo[start : start + size]
        for program in self._programs:
          if preemption.requested():
            raise preemption.Preempted(f'with {len(self._complete())} {unit} personalised')
          if lacking := [case for case in group if self._todo(case, program)]:
            of_group = [teacher_of[case.fold.name] for case in lacking]
            self._run(program, lacking, of_group, shared, size)
        progress.advance(len(group), f'user {group[-1].user.name}')
        yield self._complete()

  def _complete(self) -> Results:
    return {
      case.name: self._results[case.name]
      for case in self._cases
      if not any(self._todo(case, program) for program in self._programs)
    }

  def _todo(self, case: Case, program: _Program) -> list[tuple[Cell, int]]:
    """The cells and draws of a program that the user still lacks."""
    results = self._results[case.name]
    return [
      (cell, draw)
      for cell in self._cells(case, program)
      for draw in range(len(results.get(cell, ())), self._study.config.study.num_draws)
    ]

  def _cells(self, case: Case, program: _Program) -> list[Cell]:
    wanted = needed(self._study.config.study.arms, case.fold.teacher)
    return [
      Cell(arm, shots, control)
      for control in self._study.conditions
      for arm in heeding(program.arms, control)
      if arm in wanted
      for shots in self._study.shots(case, control)
    ]

  def _checkpoints(self, case: Case, program: _Program) -> Checkpoints:
    return Checkpoints(self._study.checkpoints, STAGE, f'{case.name}_{program.name}')

  def _load(self, case: Case, program: _Program) -> None:
    """Loads the predictions that earlier runs saved, perhaps for fewer arms, shots or draws."""
    with self._checkpoints(case, program) as saved:
      _, arrays = saved.newest() or (0, {})
    self._results[case.name] |= {Cell.named(name): rows for name, rows in arrays.items()}

  def _run(
    self,
    program: _Program,
    cases: Sequence[Case],
    teachers: Sequence[Pretrained],
    shared: pretrain.Shared,
    size: int,
  ) -> None:
    """Runs one program for at most `size` users: each user's cells and draws still to do."""
    todos = [self._todo(case, program) for case in cases]
    most = max(map(len, todos))
    vmapped = parallel.vmapped_trials(most, size, self._mesh, self._trial_bytes(teachers[0]))
    length = parallel.padded_trials(most, vmapped, self._mesh)
    tasks = [self._task(case, teacher) for case, teacher in zip(cases, teachers, strict=True)]
    supports = [
      program.supports(self._drawn(case), todo, length)
      for case, todo in zip(cases, todos, strict=True)
    ]
    predictions = parallel.fetch(
      program.run(
        vmapped,
        parallel.shard(parallel.stack(tasks, size), self._mesh),
        parallel.shard_trials(parallel.stack(supports, size), self._mesh),
        shared,
      )
    )
    for case, todo, rows in zip(cases, todos, predictions[: len(cases)], strict=True):
      self._keep(case, program, todo, rows[: len(todo), : len(case.user.clips)])

  def _drawn(self, case: Case) -> dict[str, np.ndarray]:
    """{control: [R, K] support clips}."""
    conditions = self._study.conditions
    return {control: self._study.draws(case, control).support for control in conditions}

  def _keep(
    self, case: Case, program: _Program, todo: Sequence[tuple[Cell, int]], rows: np.ndarray
  ) -> None:
    """Appends the predictions [num_supports, n] of `todo`, and saves those of the program."""
    results = self._results[case.name]
    for (cell, draw), row in zip(todo, rows, strict=True):
      expect_finite(f'{case.name} ({case.user.name})', cell.arm, row, draw)
    for cell in dict.fromkeys(cell for cell, _ in todo):
      new = rows[[place for place, (other, _) in enumerate(todo) if other == cell]]
      results[cell] = np.concatenate([results[cell], new]) if cell in results else new
    its = {
      cell.name: rows
      for cell, rows in results.items()
      if self._program_of[cell.arm] == program.name
    }
    with self._checkpoints(case, program) as saved:
      saved.save(max(saved.steps(), default=0) + 1, its)

  def _trial_bytes(self, teacher: Pretrained) -> int:
    config = self._study.config
    return memory.copy_bytes(
      teacher.params, self._study.corpus.clips, max(config_lib.shots(config)), config.model
    )

  def _task(self, case: Case, teacher: Pretrained) -> FoldTask:
    return FoldTask(
      teacher.params,
      self._study.normaliser(case.fold),
      batching.pad(case.user.clips, self._study.folds.num_user_clips).clips,
    )


def expect_finite(whose: str, arm: str, predictions: np.ndarray, draw: int | None = None) -> None:
  """Raises `UserError` if any of an arm's predictions [n] is not finite."""
  if not np.isfinite(predictions).all():
    where = '' if draw is None else f', draw {draw}'
    raise UserError(
      f'{whose}, arm {arm}{where}: a prediction is not finite; --debug_nans finds the operation.'
    )
