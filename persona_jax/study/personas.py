"""The Bayesian arms of a study: what each says of a user's clips, given what the teachers say.

No model is trained here. The priors of a teacher are fitted once on the speakers whom it has not
seen, and a user's persona is computed from each support set (`persona_jax.persona`). An arm of the
ensemble mixes the densities of all teachers with equal weights.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from persona_jax import config as config_lib
from persona_jax import targets
from persona_jax.arms import (
  ENSEMBLES,
  MEMBER_OF,
  STUDENT_OF,
  TOLD,
  WITHOUT_CLIPS,
  heeding,
  is_bayesian,
)
from persona_jax.data import batching
from persona_jax.data.folds import Case, Fold
from persona_jax.data.study import Study
from persona_jax.persona import arms as persona_arms
from persona_jax.persona import fit, posterior
from persona_jax.persona.arms import Priors
from persona_jax.study.programs import Cell
from persona_jax.study.teacher_predictions import TeacherReadings, read_with_teacher
from persona_jax.training.pretrain import Pretrained
from persona_jax.types import Array


class Posterior(NamedTuple):
  """What an arm says of a user's clips, [R, n] each: the mean, and the central 90 % interval."""

  mean: np.ndarray
  low: np.ndarray
  high: np.ndarray


def wanted(study: Study) -> list[str]:
  """The Bayesian arms of the study."""
  return [arm for arm in study.config.study.arms if is_bayesian(arm)]


def expect_enough_speakers(study: Study) -> None:
  """Raises `UserError` if a fold validates on too few speakers to learn how speakers differ."""
  speakers = np.array(study.corpus.speakers)
  for fold in study.folds.chosen if wanted(study) else ():
    unseen = fit.unseen_clips(speakers, fold.train, fold.valid)
    fit.enough_speakers(speakers[unseen], 'validation')


class BayesianArms:
  """The Bayesian arms of a study whose teachers are trained; without any, nothing is computed.

  They are computed on the scale of sentiment: labels and predictions of an emotion are stretched to
  it, and what the arms say is brought back.
  """

  def __init__(self, study: Study, teachers: Sequence[Pretrained]):
    self._study, self._arms = study, wanted(study)
    self._students = {STUDENT_OF[arm] for arm in self._arms if arm in STUDENT_OF}
    self._readings: dict[str, TeacherReadings] = {}
    self._priors: dict[str, Priors] = {}
    self._target = targets.of(study.config)
    self._labels = self._target.scaled(study.corpus.labels)
    if self._arms:
      folds, readings = study.folds.of_teachers, read_with_teacher(study, teachers)
      self._readings = {
        fold.name: reading._replace(predictions=self._target.scaled(reading.predictions))
        for fold, reading in zip(folds, readings, strict=True)
      }

  def predict(
    self, case: Case, students: Sequence[Mapping[Cell, np.ndarray]]
  ) -> dict[Cell, Posterior]:
    """What every arm says of the user's clips, in every draw of the study and its controls.

    Args:
      case: the user, with the first teacher.
      students: {cell: [R, n] predictions of the user's clips} of the arms that fine-tune, from each
        teacher.
    """
    study, results = self._study, {}
    for control in study.conditions:
      support = study.draws(case, control).support
      for shots in study.shots(case, control) if self._arms else ():
        found = self._posteriors(case, shots, control, support[:, :shots], students)
        # What uses no clip of the user is recorded once, as the baseline is.
        once = shots == study.config.study.num_support
        results |= {
          Cell(arm, shots, control): posterior
          for arm, posterior in found.items()
          if once or arm not in WITHOUT_CLIPS
        }
    return results

  def _posteriors(
    self,
    case: Case,
    shots: int,
    control: str,
    support: np.ndarray,
    students: Sequence[Mapping[Cell, np.ndarray]],
  ) -> dict[str, Posterior]:
    """{arm: what it says of the user's clips}, given supports [R, K]."""
    study, count = self._study, len(case.user.clips)
    own = batching.pad(case.user.clips, study.folds.num_user_clips).clips
    most = max(config_lib.shots(study.config))
    folds = [each.fold for each in study.folds.of_all_teachers(case)]
    shape = len(support), len(own)
    sentiments = _sentiments(
      tuple(self._arms),
      [self._fold_priors(fold) for fold in folds],
      [self._readings[fold.name] for fold in folds],
      self._labels,
      np.pad(support, ((0, 0), (0, most - shots)), mode='edge'),
      (np.arange(most) < shots).astype(np.float32),
      np.float32(config_lib.is_told(study.config, control)),
      own,
      [
        {
          arm: self._target.scaled(_student(Cell(arm, shots, control), each, shape))
          for arm in self._students
        }
        for each in students
      ],
    )
    return {
      arm: Posterior(
        *(
          self._target.unscaled(np.asarray(row)[:, :count])
          for row in (each.mean, each.lower, each.upper)
        )
      )
      for arm, each in sentiments.items()
      if arm in heeding(self._arms, control)
    }

  def _fold_priors(self, fold: Fold) -> Priors:
    """How people differ, fitted when first asked for on speakers whom the teacher has not seen."""
    if fold.name not in self._priors:
      study, readings = self._study, self._readings[fold.name]
      self._priors[fold.name] = persona_arms.fit(
        readings.predictions,
        readings.read,
        self._labels,
        np.array(study.corpus.speakers),
        fold.train,
        fold.valid,
      )
    return self._priors[fold.name]


def _student(
  cell: Cell, of_teacher: Mapping[Cell, np.ndarray], shape: tuple[int, int]
) -> np.ndarray:
  """A student's predictions, padded to `shape`; 0 where the arms are told and give it no weight."""
  padded = np.zeros(shape, np.float32)
  if cell.control != TOLD:
    padded[:, : of_teacher[cell].shape[1]] = of_teacher[cell][: len(padded)]
  return padded


@functools.partial(jax.jit, static_argnums=0)
def _sentiments(
  arms: tuple[str, ...],
  priors: Sequence[Priors],
  of_teachers: Sequence[TeacherReadings],
  labels: Array,
  support: Array,
  weights: Array,
  chosen: Array,
  own: Array,
  students: Sequence[Mapping[str, Array]],
) -> dict[str, posterior.Sentiment]:
  """{arm: `Sentiment` of the clips `own` [n] in every draw, [R, n] each}; one program for all.

  Args:
    arms: of the study, those that are Bayesian.
    priors, of_teachers: of each teacher.
    labels: [N].
    support: [R, K].
    weights: [K] 1 for a clip, 0 for padding.
    chosen: [] 1 if the support clips were chosen by their labels, else 0.
    own: [n].
    students: {arm that fine-tunes: [R, n]}, of each teacher.
  """

  def one_draw(support, students):
    densities = [
      _densities(arms, each, readings, (labels, support, weights, chosen), own, student)
      for each, readings, student in zip(priors, of_teachers, students, strict=True)
    ]
    return {
      arm: posterior.summarised(
        jnp.stack([each[MEMBER_OF[arm]] for each in densities]).mean(axis=0)
        if arm in ENSEMBLES
        else densities[0][arm]
      )
      for arm in arms
    }

  of_teachers = jax.tree.map(jnp.asarray, of_teachers)
  return jax.vmap(one_draw)(support, students)


def _densities(
  arms: Sequence[str],
  priors: Priors,
  of_teacher: TeacherReadings,
  clips: tuple[Array, Array, Array, Array],
  own: Array,
  student: Mapping[str, Array],
) -> dict[str, jax.Array]:
  """{arm: the density of the clips `own` [n] by one teacher, [n, num_points]}.

  Args:
    arms: of the study; those of the ensemble are computed as their members.
    priors, of_teacher: of the teacher.
    clips: labels, support [K], weights and chosen, as of `_sentiments`.
    own: [n].
    student: {arm that fine-tunes: [n]}.
  """
  labels, support, weights, chosen = clips
  predictions, read = of_teacher
  person = persona_arms.observe(
    priors, predictions[support], read[support], labels[support], weights, chosen
  )
  return {
    arm: persona_arms.density(
      arm, priors, person, predictions[own], read[own], student.get(STUDENT_OF.get(arm, arm))
    )
    for arm in dict.fromkeys(MEMBER_OF.get(arm, arm) for arm in arms)
  }
