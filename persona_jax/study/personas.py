"""The Bayesian arms of a study: what each says of a user's clips, given what the teacher says.

No model is trained here. A fold's priors are fitted once on the speakers whom its teacher has not
seen, and a user's persona is computed from each support set (`persona_jax.persona`).
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from persona_jax.arms import BAYESIAN, STUDENT_OF, WITHOUT_CLIPS
from persona_jax.data import batching
from persona_jax.data.folds import Case, Fold
from persona_jax.data.study import Study
from persona_jax.persona import arms as persona_arms
from persona_jax.persona import fit
from persona_jax.persona.arms import Priors
from persona_jax.study.adaptation import Cell
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
  return [arm for arm in study.config.study.arms if arm in BAYESIAN]


def expect_enough_speakers(study: Study) -> None:
  """Raises `UserError` if a fold validates on too few speakers to learn how speakers differ."""
  speakers = np.array(study.corpus.speakers)
  for fold in study.folds.chosen if wanted(study) else ():
    unseen = fit.unseen_clips(speakers, fold.train, fold.valid)
    fit.enough_speakers(speakers[unseen], 'validation')


class BayesianArms:
  """The Bayesian arms of a study whose teachers are trained; without any, nothing is computed."""

  def __init__(self, study: Study, teachers: Sequence[Pretrained]):
    self._study, self._arms = study, wanted(study)
    self._readings: dict[str, TeacherReadings] = {}
    self._priors: dict[str, Priors] = {}
    if self._arms:
      readings = read_with_teacher(study, teachers)
      self._readings = {
        fold.name: reading for fold, reading in zip(study.folds.chosen, readings, strict=True)
      }

  def predict(self, case: Case, students: Mapping[Cell, np.ndarray]) -> dict[Cell, Posterior]:
    """What every arm says of the user's clips, in every draw.

    Args:
      students: {cell: [R, n] predictions of the user's clips} of the arms that fine-tune.
    """
    study = self._study
    support = study.draws(case).support
    results = {}
    for arm in self._arms:
      # What uses no clip of the user is recorded once, as the baseline is.
      once = (study.config.study.num_support,)
      for shots in once if arm in WITHOUT_CLIPS else study.shots(case):
        cell = Cell(arm, shots)
        student = students[Cell(STUDENT_OF[arm], shots)] if arm in STUDENT_OF else None
        results[cell] = self._posterior(case, arm, support[:, :shots], student)
    return results

  def _posterior(
    self, case: Case, arm: str, support: np.ndarray, student: np.ndarray | None
  ) -> Posterior:
    """What an arm says of the user's clips given supports [R, K]; student [at least R, n]."""
    study, count, num_draws = self._study, len(case.user.clips), len(support)
    own = batching.pad(case.user.clips, study.folds.num_user_clips).clips
    students = np.zeros((num_draws, len(own)), np.float32)
    if student is not None:
      students[:, :count] = student[:num_draws]
    sentiment = _sentiment(
      arm,
      study.config.adapt.support == 'chosen',
      self._fold_priors(case.fold),
      self._readings[case.fold.name],
      study.corpus.labels,
      support,
      own,
      students,
    )
    rows = (sentiment.mean, sentiment.lower, sentiment.upper)
    return Posterior(*(np.asarray(row)[:, :count] for row in rows))

  def _fold_priors(self, fold: Fold) -> Priors:
    """How people differ, fitted when first asked for on speakers whom the teacher has not seen."""
    if fold.name not in self._priors:
      study, readings = self._study, self._readings[fold.name]
      self._priors[fold.name] = persona_arms.fit(
        readings.predictions,
        readings.read,
        study.corpus.labels,
        np.array(study.corpus.speakers),
        fold.train,
        fold.valid,
      )
    return self._priors[fold.name]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _sentiment(
  arm: str,
  chosen: bool,
  priors: Priors,
  of_teacher: TeacherReadings,
  labels: Array,
  support: Array,
  own: Array,
  student: Array,
):
  """`Sentiment` of the clips `own` [n] in every draw: [R, n]; support [R, K], student [R, n]."""

  def one_draw(support, student):
    person = persona_arms.observe(
      priors,
      of_teacher.predictions[support],
      of_teacher.read[support],
      labels[support],
      jnp.ones(len(support)),
      jnp.float32(chosen),
    )
    return persona_arms.sentiment(
      arm, priors, person, of_teacher.predictions[own], of_teacher.read[own], student
    )

  of_teacher = jax.tree.map(jnp.asarray, of_teacher)
  return jax.vmap(one_draw)(support, student)
