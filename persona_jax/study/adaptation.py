"""The study's second stage: fine-tune and predict with every arm, a group of users at a time."""

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from persona_jax import config as config_lib
from persona_jax.arms import heeding, needed
from persona_jax.data.buckets import Buckets
from persona_jax.data.folds import Case
from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.runtime import parallel, preemption
from persona_jax.runtime.progress import Progress
from persona_jax.study import variants
from persona_jax.study.programs import Cell, Program, Trial
from persona_jax.study.variants import Variant
from persona_jax.training import fine_tune, memory
from persona_jax.training.checkpoint import Checkpoints
from persona_jax.training.feed import Feed, Placing
from persona_jax.training.fine_tune import FoldTask, Recipe, Supports, recipes
from persona_jax.training.pretrain import Pretrained
from persona_jax.training.steps import Shared
from persona_jax.types import Params

STAGE = 'adapt'


# {case name: {cell: [R, n] predictions of all the user's clips}}
Results = dict[str, dict[Cell, np.ndarray]]


class _Group(NamedTuple):
  """Users who are personalised together.

  Attributes:
    cases: at most `size`.
    teachers: the parameters of every case's teacher.
    size: the users that a program holds.
    shapes_alone: nothing is brought to the devices; programs are compiled only.
  """

  cases: Sequence[Case]
  teachers: Sequence[Params]
  size: int
  shapes_alone: bool = False


class _Call(NamedTuple):
  """A call of a program: the users' support sets on the devices, and their trials."""

  program: parallel.Program
  supports: Supports
  trials: Sequence[Sequence[Trial]]


class _Work(NamedTuple):
  """What a program has to do for some users: their trials, and all of it on the devices."""

  todos: Sequence[Sequence[Trial]]
  tasks: FoldTask
  shared: Shared
  calls: Sequence[_Call]


class StudyPersonaliser:
  """Runs the programs of the study's arms over the users of the chosen folds."""

  def __init__(self, study: Study):
    """Loads what earlier runs have personalised."""
    self._study, config = study, study.config
    self._cases = study.folds.cases_of_teachers
    self._mesh = parallel.trial_mesh(len(self._cases))
    self._feed = Feed(study.corpus, study.folds.buckets, self._mesh)
    programs: dict[str, dict[str, Recipe]] = {}
    self._program_of = {arm: recipe.program for arm, recipe in recipes(config.adapt).items()}
    for arm, recipe in recipes(config.adapt).items():
      if self._cases and arm in config.study.arms:
        programs.setdefault(recipe.program, {})[arm] = recipe
    self._supports: dict[str, dict[str, np.ndarray]] = {}
    self._results: Results = {case.name: {} for case in self._cases}
    self._lengths = self._support_lengths() if programs else study.folds.buckets
    self._programs = [
      Program(name, arms, config, study.folds.buckets.steps, self._lengths.steps)
      for name, arms in programs.items()
    ]
    # On average, half a call of every user is padding.
    padding = len(self._cases) * (parallel.trials_of_a_call(1, 1, self._mesh) - 1) / 2
    self._variants = {
      program.name: variants.choose(self._needed_variants(program), self._seconds, padding)
      for program in self._programs
    }
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
      size = self._group_size(untrained)
      for program in self._programs:
        if lacking := self._lacking(todo[:size], [program]):
          teachers = [untrained] * len(lacking)
          self._lay_out(program, _Group(lacking, teachers, size, shapes_alone=True))

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
      size = self._group_size(teachers[0].params)
      for start in range(0, len(todo), size):
        group = todo[start : start + size]
        for program in self._programs:
          if preemption.requested():
            raise preemption.Preempted(f'with {len(self._complete())} {unit} personalised')
          if lacking := self._lacking(group, [program]):
            of_lacking = [params_of[case.fold.name] for case in lacking]
            self._run(program, _Group(lacking, of_lacking, size))
        progress.advance(len(group), f'user {group[-1].user.name}')
        yield self._complete()

  def _lacking(self, cases: Sequence[Case], programs: Sequence[Program]) -> list[Case]:
    """The cases for which any of the programs has something to do."""
    return [case for case in cases if any(self._todo(case, program) for program in programs)]

  def _complete(self) -> Results:
    lacking = {case.name for case in self._lacking(self._cases, self._programs)}
    return {case.name: self._results[case.name] for case in self._cases if case.name not in lacking}

  def _group_size(self, params: Params) -> int:
    """How many users a program holds, each personalising a copy of `params`."""
    largest = Variant(max(config_lib.shots(self._study.config)), len(self._lengths.steps) - 1)
    return parallel.group_size(len(self._cases), self._mesh, self._trial_bytes(params, largest))

  def _seconds(self, variant: Variant) -> float:
    """An estimate of what one support set takes."""
    steps = self._lengths.steps[variant.bucket]
    return fine_tune.seconds(self._study.config, variant.shots, steps)

  def _support_lengths(self) -> Buckets:
    """The lengths that support sets may be padded to."""
    study = self._study
    # The reference attends to padding, so its length matters.
    if study.config.model.attention == 'reference':
      return study.folds.buckets
    supports = [
      support[:shots]
      for case in self._cases
      for control, drawn in self._drawn(case).items()
      for shots in study.shots(case, control)
      for support in drawn
    ]
    return variants.lengths(study.corpus.clips.lengths, supports)

  def _needed_variants(self, program: Program) -> Counter[Variant]:
    """How many support sets of the study, whatever is done already, need each variant."""
    needed: Counter[Variant] = Counter()
    for case in self._cases:
      drawn = self._drawn(case)
      for cell in self._cells(case, program):
        needed.update(self._needed(cell, support) for support in drawn[cell.control])
    return needed

  def _needed(self, cell: Cell, support: np.ndarray) -> Variant:
    """The least variant that holds the cell's clips of a support [K]."""
    clips = support[: cell.shots]
    return Variant(cell.shots, int(self._lengths.of_clip[clips].max()))

  def _todo(self, case: Case, program: Program) -> list[Trial]:
    """The cells and draws of a program that the user still lacks."""
    results = self._results[case.name]
    return [
      (cell, draw)
      for cell in self._cells(case, program)
      for draw in range(len(results.get(cell, ())), self._study.config.study.num_draws)
    ]

  def _cells(self, case: Case, program: Program) -> list[Cell]:
    wanted = needed(self._study.config.study.arms, case.fold.teacher)
    return [
      Cell(arm, shots, control)
      for control in self._study.conditions
      for arm in heeding(program.arms, control)
      if arm in wanted
      for shots in self._study.shots(case, control)
    ]

  def _checkpoints(self, case: Case, program: Program) -> Checkpoints:
    return Checkpoints(self._study.checkpoints, STAGE, f'{case.name}_{program.name}')

  def _load(self, case: Case, program: Program) -> None:
    """Loads the predictions that earlier runs saved, perhaps for fewer arms, shots or draws."""
    with self._checkpoints(case, program) as saved:
      _, arrays = saved.newest() or (0, {})
    self._results[case.name] |= {Cell.named(name): rows for name, rows in arrays.items()}

  def _lay_out(self, program: Program, group: _Group) -> _Work:
    """What a program has to do for some users; begins to compile it."""
    shared, place = self._brought(group)
    tasks = [
      self._task(case, params, place)
      for case, params in zip(group.cases, group.teachers, strict=True)
    ]
    laid = parallel.shard(parallel.stack(tasks, group.size), self._mesh, group.shapes_alone)
    todos = [self._todo(case, program) for case in group.cases]
    by_variant = [
      self._by_variant(case, program, todo) for case, todo in zip(group.cases, todos, strict=True)
    ]
    calls = [
      call
      for variant in self._variants[program.name]
      for call in self._calls(
        program, variant, group, [trials.get(variant, []) for trials in by_variant], place
      )
    ]
    for call in calls:
      call.program.compile(laid, call.supports, shared)
    return _Work(todos, laid, shared, calls)

  def _run(self, program: Program, group: _Group) -> None:
    """Does what a program has to do for some users, and saves it."""
    work = self._lay_out(program, group)
    rows: list[dict[Trial, np.ndarray]] = [{} for _ in group.cases]
    for call in work.calls:
      found = parallel.fetch(call.program(work.tasks, call.supports, work.shared))
      for its_rows, trials, its_found in zip(rows, call.trials, found[: len(rows)], strict=True):
        its_rows.update(zip(trials, its_found[: len(trials)], strict=True))
    for case, todo, its_rows in zip(group.cases, work.todos, rows, strict=True):
      predictions = [self._restored(case, its_rows[trial]) for trial in todo]
      self._keep(case, program, todo, np.array(predictions))

  def _calls(
    self,
    program: Program,
    variant: Variant,
    group: _Group,
    of_variant: Sequence[Sequence[Trial]],
    place: Placing,
  ) -> Iterator[_Call]:
    """What is to do of a variant, each case's trials of it, in as many calls as it takes."""
    most = max(map(len, of_variant))
    vmapped = parallel.vmapped_trials(
      max(1, most), group.size, self._mesh, self._trial_bytes(group.teachers[0], variant)
    )
    length = parallel.trials_of_a_call(most, vmapped, self._mesh)
    for start in range(0, most, length):
      now = [trials[start : start + length] for trials in of_variant]
      supports = [
        program.supports(self._drawn(case), trials, variant.shots, length)
        for case, trials in zip(group.cases, now, strict=True)
      ]
      supports = [each._replace(clips=place(np.asarray(each.clips))) for each in supports]
      yield _Call(
        program.of(variant, vmapped, self._mesh),
        parallel.shard_trials(parallel.stack(supports, group.size), self._mesh, group.shapes_alone),
        now,
      )

  def _by_variant(
    self, case: Case, program: Program, todo: Sequence[Trial]
  ) -> dict[Variant, list[Trial]]:
    """The trials by the variant whose program they run in."""
    kept, found = self._variants[program.name], {}
    holding = functools.cache(lambda needed: variants.holding(kept, needed, self._seconds))
    for cell, draw in todo:
      needed = self._needed(cell, self._drawn(case)[cell.control][draw])
      found.setdefault(holding(needed), []).append((cell, draw))
    return found

  def _restored(self, case: Case, row: np.ndarray) -> np.ndarray:
    """Predictions [n] of the user's clips from those of all buckets."""
    return self._study.folds.buckets.restore(case.user.clips, self._study.folds.user_sizes, row)

  def _drawn(self, case: Case) -> dict[str, np.ndarray]:
    """{control: [R, K] support clips}."""
    if case.name not in self._supports:
      self._supports[case.name] = {
        control: self._study.draws(case, control).support for control in self._study.conditions
      }
    return self._supports[case.name]

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

  def _trial_bytes(self, params: Params, variant: Variant) -> int:
    config = self._study.config
    return memory.copy_bytes(
      params,
      self._lengths.steps[variant.bucket],
      self._study.corpus.clips.widths,
      variant.shots,
      config.model,
    )

  def _brought(self, group: _Group) -> tuple[Shared, Placing]:
    """The clips of some users on the devices, and the supports they are given."""
    study = self._study
    drawn = [support.ravel() for case in group.cases for support in self._drawn(case).values()]
    clips = np.concatenate([*(case.user.clips for case in group.cases), *drawn])
    given = (
      len(study.conditions) * study.config.study.num_draws * max(config_lib.shots(study.config))
    )
    most = [group.size * count for count in study.folds.user_sizes]
    most[-1] += group.size * given
    return self._feed.of(clips, most, group.shapes_alone)

  def _task(self, case: Case, params: Params, place: Placing) -> FoldTask:
    return FoldTask(
      params,
      self._study.normaliser(case.fold),
      tuple(
        part._replace(clips=place(part.clips))
        for part in self._study.folds.buckets.pad(case.user.clips, self._study.folds.user_sizes)
      ),
    )


def expect_finite(whose: str, arm: str, predictions: np.ndarray, draw: int | None = None) -> None:
  """Raises `UserError` if any of an arm's predictions [n] is not finite."""
  if not np.isfinite(predictions).all():
    where = '' if draw is None else f', draw {draw}'
    raise UserError(
      f'{whose}, arm {arm}{where}: a prediction is not finite; --debug_nans finds the operation.'
    )
