"""The Bayesian arms: how each predicts the sentiment of a person's clips.

  calibrated   calibrates the prediction with what unseen speakers show; ignores the person's clips
  label_mean   uses the mean of the person's labels only
  joint        uses label mean, offset and gain (`persona_jax.persona.posterior`)
  residual     regresses residuals on what the head reads (`persona_jax.persona.residual`)
  bayes        mixes joint and residual; residual has the weight n / (2 (n + 2)) of n clips
  bayes_kd     mixes joint and a student that was fine-tuned on the same clips, with that weight

An arm gives a density of sentiment on a grid. A mixture is the weighted mean of two densities (the
linear opinion pool, Stone 1961): its mean is the weighted mean of both means, and its interval is
wide where the two disagree.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from persona_jax.persona import effects, posterior, residual
from persona_jax.persona import labels as label_part
from persona_jax.persona import prior as joint_prior
from persona_jax.persona.effects import Coefficients, Evidence
from persona_jax.persona.posterior import Persona, Prior, Sentiment
from persona_jax.persona.residual import ResidualPrior
from persona_jax.types import Array

CALIBRATED, LABEL_MEAN, JOINT, RESIDUAL, BAYES, BAYES_KD = (
  'calibrated',
  'label_mean',
  'joint',
  'residual',
  'bayes',
  'bayes_kd',
)
ARMS = (CALIBRATED, LABEL_MEAN, JOINT, RESIDUAL, BAYES, BAYES_KD)

HALF_CLIPS = 2.0  # at this number of clips, what is mixed with joint has half of its final weight


class Priors(NamedTuple):
  """How people differ under one fold's predictor; fitted once for all users of the fold."""

  joint: Prior
  residual: ResidualPrior


class Person(NamedTuple):
  """What is stored of a person. Those of disjoint sets of clips add up (`effects.add`, `remove`).

  Attributes:
    joint: statistics of all clips.
    residual: evidence of the clips that were not chosen by their labels.
  """

  joint: Persona
  residual: Evidence


def fit(
  predictions: Array, read: Array, labels: Array, speakers: Array, train: Array, unseen: Array
) -> Priors:
  """Fits both models; the arguments are those of `residual.fit_residual`.

  Raises:
    UserError: there are too few unseen speakers, or a prediction or label is not finite.
  """
  return Priors(
    joint_prior.fit_prior(predictions, labels, speakers, train, unseen),
    residual.fit_residual(predictions, read, labels, speakers, train, unseen),
  )


def nobody(priors: Priors) -> Person:
  """A person without labelled clips."""
  return Person(posterior.nobody(), effects.no_evidence(len(priors.residual.effects.mean)))


def observe(
  priors: Priors,
  predictions: Array,
  read: Array,
  labels: Array,
  weights: Array,
  chosen: Array | bool = False,
) -> Person:
  """The statistics of K labelled clips of one person.

  Args:
    predictions: [K] by the fold's predictor.
    read: [K, read_width] what its head reads.
    labels: [K].
    weights: [K] 1 for a clip, 0 for padding.
    chosen: [] or [K] bool, whether the clips were chosen by their labels. Only the expression part
      of `joint` learns from such clips; see `persona_jax.persona.posterior`.
  """
  components = residual.components(priors.residual.reading, read)
  return observe_components(predictions, components, labels, weights, chosen)


def observe_components(
  predictions: Array,
  components: Array,
  labels: Array,
  weights: Array,
  chosen: Array | bool = False,
) -> Person:
  """`observe`, given the components [K, num_components] of what the head reads."""
  chosen = jnp.asarray(chosen, jnp.float32)
  phi = residual.joined(predictions, components)
  return Person(
    posterior.observe(predictions, labels, weights, chosen),
    effects.evidence(phi, labels - predictions, weights * (1 - chosen)),
  )


def density(
  arm: str,
  priors: Priors,
  person: Person,
  predictions: Array,
  read: Array,
  student: Array | None = None,
) -> jax.Array:
  """The arm's density of sentiment for clips of the person, as probabilities on `GRID`.

  Args:
    arm: one of `ARMS`.
    predictions: [n] by the fold's predictor.
    read: [n, read_width] what its head reads.
    student: [n] predictions of the student that was fine-tuned on the person's clips; only
      `bayes_kd` needs them.

  Returns:
    [n, num_points].
  """
  empty = posterior.nobody()
  if arm == RESIDUAL:
    return residual.density(priors.residual, person.residual, predictions, read)
  if arm == BAYES_KD:
    if student is None:
      raise ValueError(f'{BAYES_KD} needs the predictions of a student.')
    joint, share = density(JOINT, priors, person, predictions, read), _share(person)
    return (1 - share) * joint + share * around(priors, student)
  if arm == BAYES:
    phi = residual.features(priors.residual.reading, predictions, read)
    return bayes(priors, known(priors, person), phi)
  persona = {
    CALIBRATED: empty,
    LABEL_MEAN: empty._replace(label=person.joint.label),
    JOINT: person.joint,
  }[arm]
  return jax.nn.softmax(posterior.log_density(priors.joint, persona, predictions))


class Known(NamedTuple):
  """What `bayes` needs of a person to predict, computed once: the posteriors.

  Attributes:
    label: [num_points] log density of the sentiment of the person's clips, on `GRID`.
    shown: of offset and gain.
    own: of the residual arm's coefficients.
    share: [] weight of what is mixed with joint.
  """

  label: Array
  shown: Coefficients
  own: Coefficients
  share: Array


def known(priors: Priors, person: Person) -> Known:
  """The posteriors of a person."""
  return Known(
    label_part.log_density(priors.joint.label, person.joint.label),
    effects.posterior(priors.joint.expression, person.joint.expression),
    effects.posterior(priors.residual.effects, person.residual),
    _share(person),
  )


def bayes(priors: Priors, known: Known, phi: Array) -> jax.Array:
  """The density of the arm `bayes`, from posteriors: [n, num_points].

  Args:
    priors: how people differ.
    known: of the person.
    phi: [n, num_features] of the residual arm, of the clips whose sentiment is predicted.
  """
  likelihood = posterior.log_likelihood(priors.joint, known.shown, phi[:, 1])
  joint = jax.nn.softmax(known.label + likelihood)
  other = residual.predictive(priors.residual, known.own, phi)
  return jnp.asarray((1 - known.share) * joint + known.share * other)


def _share(person: Person) -> jax.Array:
  """The weight of what clips chosen by their labels bias; it grows with the other clips."""
  count = jnp.maximum(person.residual.count, 0)
  return 0.5 * count / (count + HALF_CLIPS)


def around(priors: Priors, student: Array) -> jax.Array:
  """Gaussians around a student's predictions [n], as wide as residuals: [n, num_points]."""
  variance = priors.residual.effects.noise + priors.residual.effects.variance[0]
  return residual.gaussian(student, jnp.full_like(student, variance))


def sentiment(
  arm: str,
  priors: Priors,
  person: Person,
  predictions: Array,
  read: Array,
  student: Array | None = None,
) -> Sentiment:
  """The arm's sentiment of the person's clips; the arguments are those of `density`."""
  return posterior.summarised(density(arm, priors, person, predictions, read, student))
