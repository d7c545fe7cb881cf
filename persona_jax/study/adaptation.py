"""The study's second stage: fine-tune and predict with every arm, a group of users at a time."""

from collections.abc import Iterator, Sequence

import jax
import numpy as np

from persona_jax.data.folds import Case
from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.runtime import parallel, preemption
from persona_jax.runtime.progress import Progress
from persona_jax.study.layout import Group, Layout
from persona_jax.study.programs import Cell, Program, Trial
from persona_jax.training.checkpoint import Checkpoints
from persona_jax.training.fine_tune import recipes
from persona_jax.training.pretrain import Pretrained
from persona_jax.types import Params

STAGE = 'adapt'
# {case name: {cell: [R, n] predictions of all the user's clips}}
Results = dict[str, dict[Cell, np.ndarray]]


class StudyPersonaliser:
  """Runs the programs of the study's arms over the users of the chosen folds."""

  def __init__(self, study: Study):
    """Loads what earlier runs have personalised."""
    self._study, self._layout = study, Layout(study)
    self._cases, self._programs = study.folds.cases_of_teachers, self._layout.programs
    self._program_of = {arm: recipe.program for arm, recipe in recipes(study.config.adapt).items()}
    self._results: Results = {case.name: {} for case in self._cases}
    for case in self._cases:
      for program in self._programs:
        self._load(case, program)

  def compile_ahead(self, like: Params) -> None:
    """Begins to compile what the first users need, whose teachers are still to be trained.

    Args:
      like: the shapes and types of a teacher's parameters.
    """
    todo = self._lacking(self._cases, self._programs)
    if todo:
      untrained = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
      size = self._layout.group_size(untrained)
      for program in self._programs:
        if lacking := self._lacking(todo[:size], [program]):
          teachers, todos = [untrained] * len(lacking), self._todos(lacking, program)
          self._layout.lay_out(program, Group(lacking, teachers, todos, size, shapes_alone=True))

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
    params_of = {fold.name: teacher.params for fold, teacher in zip(folds, teachers, strict=True)}
    todo = self._lacking(cases, self._programs)
    several = self._study.folds.num_teachers
    unit = f'users of {several} teachers' if several > 1 else 'users'
    with Progress('personalising', len(cases), unit) as progress:
      progress.advance(len(cases) - len(todo))
      yield self._complete()
      if not todo:
        return
      size = self._layout.group_size(teachers[0].params)
      for start in range(0, len(todo), size):
        group = todo[start : start + size]
        for program in self._programs:
          if preemption.requested():
            raise preemption.Preempted(f'with {len(self._complete())} {unit} personalised')
          if lacking := self._lacking(group, [program]):
            of_lacking = [params_of[case.fold.name] for case in lacking]
            self._run(program, Group(lacking, of_lacking, self._todos(lacking, program), size))
        progress.advance(len(group), f'user {group[-1].user.name}')
        yield self._complete()

  def _lacking(self, cases: Sequence[Case], programs: Sequence[Program]) -> list[Case]:
    """The cases for which any of the programs has something to do."""
    return [case for case in cases if any(self._todo(case, program) for program in programs)]

  def _complete(self) -> Results:
    lacking = {case.name for case in self._lacking(self._cases, self._programs)}
    return {case.name: self._results[case.name] for case in self._cases if case.name not in lacking}

  def _todos(self, cases: Sequence[Case], program: Program) -> list[list[Trial]]:
    return [self._todo(case, program) for case in cases]

  def _todo(self, case: Case, program: Program) -> list[Trial]:
    """The cells and draws of a program that the user still lacks."""
    results = self._results[case.name]
    return [
      (cell, draw)
      for cell in self._layout.cells(case, program)
      for draw in range(len(results.get(cell, ())), self._study.config.study.num_draws)
    ]

  def _checkpoints(self, case: Case, program: Program) -> Checkpoints:
    return Checkpoints(self._study.checkpoints, STAGE, f'{case.name}_{program.name}')

  def _load(self, case: Case, program: Program) -> None:
    """Loads the predictions that earlier runs saved, perhaps for fewer arms, shots or draws."""
    with self._checkpoints(case, program) as saved:
      _, arrays = saved.newest() or (0, {})
    self._results[case.name] |= {Cell.named(name): rows for name, rows in arrays.items()}

  def _run(self, program: Program, group: Group) -> None:
    """Does what a program has to do for some users, and saves it."""
    work = self._layout.lay_out(program, group)
    rows: list[dict[Trial, np.ndarray]] = [{} for _ in group.cases]
    for call in work.calls:
      found = parallel.fetch(call.program(work.tasks, call.supports, work.shared))
      for its_rows, trials, its_found in zip(rows, call.trials, found[: len(rows)], strict=True):
        its_rows.update(zip(trials, its_found[: len(trials)], strict=True))
    for case, todo, its_rows in zip(group.cases, group.todos, rows, strict=True):
      predictions = [self._restored(case, its_rows[trial]) for trial in todo]
      self._keep(case, program, todo, np.array(predictions))

  def _restored(self, case: Case, row: np.ndarray) -> np.ndarray:
    """Predictions [n] of the user's clips from those of all buckets."""
    return self._study.folds.buckets.restore(case.user.clips, self._study.folds.user_sizes, row)

  def _keep(
    self, case: Case, program: Program, todo: Sequence[tuple[Cell, int]], rows: np.ndarray
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


def expect_finite(whose: str, arm: str, predictions: np.ndarray, draw: int | None = None) -> None:
  """Raises `UserError` if any of an arm's predictions [n] is not finite."""
  if not np.isfinite(predictions).all():
    where = '' if draw is None else f', draw {draw}'
    raise UserError(
      f'{whose}, arm {arm}{where}: a prediction is not finite; --debug_nans finds the operation.'
    )
