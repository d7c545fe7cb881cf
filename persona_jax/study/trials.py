"""From predictions to the study's trials, and from trials to its records."""

import math
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from persona_jax import config as config_lib
from persona_jax import files, targets
from persona_jax.arms import (
  BASELINE,
  ENSEMBLE,
  ENSEMBLES,
  MEAN_SHIFT,
  MEMBER_OF,
  WITHOUT_CLIPS,
  heeding,
)
from persona_jax.data.draws import Draws
from persona_jax.data.folds import Case
from persona_jax.data.study import Study
from persona_jax.evaluation import mean_shift
from persona_jax.reporting import records
from persona_jax.runtime import parallel
from persona_jax.study.personas import Posterior
from persona_jax.study.programs import Cell
from persona_jax.study.teacher_predictions import TeacherPredictions


class Recorder:
  """Writes the records of a running study as whole files, so that a reader never sees half a trial.

  Writing whole files after every user would take time quadratic in the number of users. So a write
  waits until `_PATIENCE` times as long has passed as the previous write took.

  Attributes:
    trials: {case name: {control: its trials}}, of the users that are done.
  """

  _PATIENCE = 10

  def __init__(self, study: Study):
    self.trials: dict[str, dict[str, list[records.Trial]]] = {}
    self._study, self._num_written, self._due = study, 0, -math.inf

  def write_if_due(self) -> None:
    if time.monotonic() >= self._due:
      self.write()

  def write(self) -> None:
    """Writes all trials, in the study's order of users, if there are new ones."""
    if not parallel.is_primary_process() or len(self.trials) == self._num_written:
      return
    started = time.monotonic()
    done = [self.trials[c.name] for c in self._study.folds.cases if c.name in self.trials]
    for control in self._study.conditions:
      folder = folder_of(self._study.workdir, control)
      folder.mkdir(parents=True, exist_ok=True)
      records.write(folder, [trial for trials in done for trial in trials[control]])
    self._num_written, now = len(self.trials), time.monotonic()
    self._due = now + self._PATIENCE * (now - started)


def folder_of(workdir: pathlib.Path, control: str) -> pathlib.Path:
  """Where the records of a control are; '' is the study itself."""
  return workdir / files.CONTROLS / control if control else workdir


class Predictions(NamedTuple):
  """What is known of a user's clips. Lists have an entry per teacher.

  Attributes:
    teachers: without any personalisation.
    personal: {cell: [R, n] predictions of the user's clips} of the arms that fine-tune.
    posteriors: {cell: what it says of the user's clips} of the Bayesian arms.
  """

  teachers: Sequence[TeacherPredictions]
  personal: Sequence[Mapping[Cell, np.ndarray]]
  posteriors: Mapping[Cell, Posterior]


def trials_by_control(
  study: Study, case: Case, known: Predictions
) -> dict[str, list[records.Trial]]:
  """{control: the user's trials}, of the study itself and of its controls."""
  return {control: list(case_trials(study, case, known, control)) for control in study.conditions}


def case_trials(
  study: Study, case: Case, known: Predictions, control: str
) -> Iterator[records.Trial]:
  """A user's trials in the config's order of arms; within a draw all have the same query clips."""
  config, corpus, user = study.config, study.corpus, case.user
  draws = study.draws(case, control)
  queries = []
  for support, query in zip(draws.support, draws.query, strict=True):
    clips = user.clips[query]
    assert not set(support) & set(clips)
    queries.append((query, tuple(corpus.names[clip] for clip in clips), corpus.labels[clips]))
  for arm in heeding(config.study.arms, control):
    once = [config.study.num_support]
    for shots in once if arm in WITHOUT_CLIPS else study.shots(case, control):
      cell = Cell(arm, shots, control)
      posterior = known.posteriors.get(cell)
      rows = _rows(study, case, draws, known, cell) if posterior is None else posterior.mean
      # Rows are more than queries where an earlier run personalised on more draws.
      for draw, (row, (query, names, labels)) in enumerate(zip(rows, queries, strict=False)):
        yield records.Trial(
          user=user.name,
          arm=arm,
          seed=case.fold.seed,
          draw=draw,
          num_support=shots,
          clips=names,
          labels=labels,
          predictions=row[query],
          low=None if posterior is None else posterior.low[draw][query],
          high=None if posterior is None else posterior.high[draw][query],
          control=_control(study, draws, draw, control),
          target=targets.of(config),
        )


def _rows(study: Study, case: Case, draws: Draws, known: Predictions, cell: Cell) -> np.ndarray:
  """What an arm that is not Bayesian predicts of the user's clips in every draw: [R, n]."""
  if cell.arm == MEAN_SHIFT:
    return _mean_shifted(study, case, draws, known.teachers[0], cell.shots)
  if cell.arm in (BASELINE, ENSEMBLE):
    used = known.teachers if cell.arm == ENSEMBLE else known.teachers[:1]
    row = np.mean([teacher.held_out[case.places] for teacher in used], axis=0)
    return np.broadcast_to(row, (len(draws.query), len(row)))
  if cell.arm in ENSEMBLES:
    member = cell._replace(arm=MEMBER_OF[cell.arm])
    return np.mean([of_teacher[member] for of_teacher in known.personal], axis=0)
  return known.personal[0][cell]


def _mean_shifted(
  study: Study, case: Case, draws: Draws, of_teacher: TeacherPredictions, shots: int
) -> np.ndarray:
  """The baseline's predictions [R, n], shifted by each draw's support."""
  labels, speakers, valid = study.corpus.labels, np.array(study.corpus.speakers), case.fold.valid
  k = mean_shift.shrinkage(labels[valid] - of_teacher.valid, speakers[valid])
  baseline = of_teacher.held_out[case.places]
  residuals = labels[case.fold.held_out] - of_teacher.held_out
  return np.stack(
    [
      baseline + np.float32(mean_shift.shift(residuals[support[:shots]], k))
      for support in np.searchsorted(case.fold.held_out, draws.support)
    ]
  )


def _control(study: Study, draws: Draws, draw: int, control: str) -> dict[str, str]:
  """How a support was picked, in studies that do not draw it at random from own clips."""
  picking, told = config_lib.picking(study.config, control), {}
  if picking.support != 'random':
    told['support'] = 'one_sided' if draws.one_sided[draw] else 'random'
  if picking.support_from != 'own':
    told['support_from'] = picking.support_from
  return told
