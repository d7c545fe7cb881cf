"""From predictions to the study's trials, and from trials to its records."""

import math
import time
from collections.abc import Iterator, Mapping

import numpy as np

from persona_jax.arms import BASELINE, MEAN_SHIFT, WITHOUT_CLIPS
from persona_jax.data.draws import Draws
from persona_jax.data.folds import Case
from persona_jax.data.study import Study
from persona_jax.evaluation import mean_shift
from persona_jax.reporting import records
from persona_jax.runtime import parallel
from persona_jax.study.adaptation import Cell
from persona_jax.study.personas import Posterior
from persona_jax.study.teacher_predictions import TeacherPredictions


class Recorder:
  """Writes the records of a running study as whole files, so that a reader never sees half a trial.

  Writing whole files after every user would take time quadratic in the number of users. So a write
  waits until `_PATIENCE` times as long has passed as the previous write took.

  Attributes:
    trials: {case name: its trials}, of the users that are done.
  """

  _PATIENCE = 10

  def __init__(self, study: Study):
    self.trials: dict[str, list[records.Trial]] = {}
    self._study, self._num_written, self._due = study, 0, -math.inf

  def write_if_due(self) -> None:
    if time.monotonic() >= self._due:
      self.write()

  def write(self) -> None:
    """Writes all trials, in the study's order of users, if there are new ones."""
    if not parallel.is_primary_process() or len(self.trials) == self._num_written:
      return
    started = time.monotonic()
    records.write(
      self._study.workdir,
      [trial for case in self._study.folds.cases for trial in self.trials.get(case.name, ())],
    )
    self._num_written, now = len(self.trials), time.monotonic()
    self._due = now + self._PATIENCE * (now - started)


def case_trials(
  study: Study,
  case: Case,
  of_teacher: TeacherPredictions,
  personal: Mapping[Cell, np.ndarray],
  posteriors: Mapping[Cell, Posterior],
) -> Iterator[records.Trial]:
  """A user's trials in the config's order of arms; within a draw all have the same query clips.

  Args:
    personal: {cell: [R, n] predictions of the user's clips} of the arms that fine-tune.
    posteriors: {cell: what it says of the user's clips} of the Bayesian arms.
  """
  config, corpus, draws, user = study.config, study.corpus, study.draws(case), case.user
  queries = []
  for support, query in zip(draws.support, draws.query, strict=True):
    clips = user.clips[query]
    assert not set(support) & set(clips)
    queries.append((query, tuple(corpus.names[clip] for clip in clips), corpus.labels[clips]))
  baseline = of_teacher.held_out[case.places]
  for arm in config.study.arms:
    for shots in [config.study.num_support] if arm in WITHOUT_CLIPS else study.shots(case):
      posterior = posteriors.get(Cell(arm, shots))
      if posterior is not None:
        rows = posterior.mean
      elif arm == BASELINE:
        rows = np.broadcast_to(baseline, (len(queries), len(baseline)))
      elif arm == MEAN_SHIFT:
        rows = _mean_shifted(study, case, draws, of_teacher, shots)
      else:
        rows = personal[Cell(arm, shots)]
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
          control=_control(study, draws, draw),
        )


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


def _control(study: Study, draws: Draws, draw: int) -> dict[str, str]:
  """How a support was picked, in studies that do not draw it at random from own clips."""
  asked, control = study.config.study, {}
  if asked.support != 'random':
    control['support'] = 'one_sided' if draws.one_sided[draw] else 'random'
  if asked.support_from != 'own':
    control['support_from'] = asked.support_from
  return control
