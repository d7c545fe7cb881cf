"""Users' personalisations laid out on the devices, in calls of compiled programs."""

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from persona_jax import config as config_lib
from persona_jax.arms import heeding, needed
from persona_jax.data.buckets import Buckets
from persona_jax.data.folds import Case
from persona_jax.data.study import Study
from persona_jax.runtime import parallel
from persona_jax.study import variants
from persona_jax.study.programs import Cell, Program, Trial
from persona_jax.study.variants import Variant
from persona_jax.training import fine_tune, memory
from persona_jax.training.feed import Feed, Placing
from persona_jax.training.fine_tune import FoldTask, Recipe, Supports, recipes
from persona_jax.training.steps import Shared
from persona_jax.types import Params


class Group(NamedTuple):
  """Users who are personalised together.

  Attributes:
    cases: at most `size`.
    teachers: the parameters of every case's teacher.
    todos: every case's trials.
    size: the users that a program holds.
    shapes_alone: nothing is brought to the devices; programs are compiled only.
  """

  cases: Sequence[Case]
  teachers: Sequence[Params]
  todos: Sequence[Sequence[Trial]]
  size: int
  shapes_alone: bool = False


class Call(NamedTuple):
  """A call of a program: the users' support sets on the devices, and their trials."""

  program: parallel.Program
  supports: Supports
  trials: Sequence[Sequence[Trial]]


class Work(NamedTuple):
  """What a program has to do for a group of users, on the devices."""

  tasks: FoldTask
  shared: Shared
  calls: Sequence[Call]


class Layout:
  """The programs of a study's arms, and how users' support sets fill their calls.

  Attributes:
    programs: arms that differ only in lambda share one.
  """

  def __init__(self, study: Study):
    self._study, config = study, study.config
    self._cases = study.folds.cases_of_teachers
    self._mesh = parallel.trial_mesh(len(self._cases))
    self._feed = Feed(study.corpus, study.folds.buckets, self._mesh)
    arms: dict[str, dict[str, Recipe]] = {}
    for arm, recipe in recipes(config.adapt).items():
      if self._cases and arm in config.study.arms:
        arms.setdefault(recipe.program, {})[arm] = recipe
    self._supports: dict[str, dict[str, np.ndarray]] = {}
    self._lengths = self._support_lengths() if arms else study.folds.buckets
    self.programs = [
      Program(name, its, config, study.folds.buckets.steps, self._lengths.steps)
      for name, its in arms.items()
    ]
    # On average, half a call of every user is padding.
    padding = len(self._cases) * (parallel.trials_of_a_call(1, 1, self._mesh) - 1) / 2
    self._variants = {
      program.name: variants.choose(self._needed_variants(program), self._seconds, padding)
      for program in self.programs
    }

  def cells(self, case: Case, program: Program) -> list[Cell]:
    """What the study asks a program for."""
    wanted = needed(self._study.config.study.arms, case.fold.teacher)
    return [
      Cell(arm, shots, control)
      for control in self._study.conditions
      for arm in heeding(program.arms, control)
      if arm in wanted
      for shots in self._study.shots(case, control)
    ]

  def group_size(self, params: Params) -> int:
    """How many users a program holds, each personalising a copy of `params`."""
    largest = Variant(max(config_lib.shots(self._study.config)), len(self._lengths.steps) - 1)
    return parallel.group_size(len(self._cases), self._mesh, self._trial_bytes(params, largest))

  def lay_out(self, program: Program, group: Group) -> Work:
    """What a program has to do for a group; begins to compile it."""
    shared, place = self._brought(group)
    tasks = [
      self._task(case, params, place)
      for case, params in zip(group.cases, group.teachers, strict=True)
    ]
    laid = parallel.shard(parallel.stack(tasks, group.size), self._mesh, group.shapes_alone)
    by_variant = [
      self._by_variant(case, program, todo)
      for case, todo in zip(group.cases, group.todos, strict=True)
    ]
    calls = [
      call
      for variant in self._variants[program.name]
      for call in self._calls(
        program, variant, group, [trials.get(variant, []) for trials in by_variant], place
      )
    ]
    for call in calls:
      call.program.compile(laid, call.supports, shared, ahead=group.shapes_alone)
    return Work(laid, shared, calls)

  def _calls(
    self,
    program: Program,
    variant: Variant,
    group: Group,
    of_variant: Sequence[Sequence[Trial]],
    place: Placing,
  ) -> Iterator[Call]:
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
      yield Call(
        program.of(variant, length, vmapped, self._mesh),
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

  def _brought(self, group: Group) -> tuple[Shared, Placing]:
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
      for cell in self.cells(case, program):
        needed.update(self._needed(cell, support) for support in drawn[cell.control])
    return needed

  def _needed(self, cell: Cell, support: np.ndarray) -> Variant:
    """The least variant that holds the cell's clips of a support [K]."""
    clips = support[: cell.shots]
    return Variant(cell.shots, int(self._lengths.of_clip[clips].max()))

  def _seconds(self, variant: Variant) -> float:
    """An estimate of what one support set takes."""
    steps = self._lengths.steps[variant.bucket]
    return fine_tune.seconds(self._study.config, variant.shots, steps) / parallel.times_faster()

  def _trial_bytes(self, params: Params, variant: Variant) -> int:
    config = self._study.config
    return memory.copy_bytes(
      params,
      self._lengths.steps[variant.bucket],
      self._study.corpus.clips.widths,
      variant.shots,
      config.model,
    )

  def _drawn(self, case: Case) -> dict[str, np.ndarray]:
    """{control: [R, K] support clips}."""
    if case.name not in self._supports:
      self._supports[case.name] = {
        control: self._study.draws(case, control).support for control in self._study.conditions
      }
    return self._supports[case.name]
