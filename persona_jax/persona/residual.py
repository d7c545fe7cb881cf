"""Residual Bayes: regresses a person's residuals on what the predictor's head reads.

  y - f(x) = phi(x) . w_u + noise
  phi(x) = (1, f(x), z(x)),  w_u ~ N(0, diag(v0, v1, v2, ..., v2))

z are the first principal components, whitened on training clips, of what the head reads. In effect
the last layer of the predictor is learned anew for each person, in closed form (ALPaCA: Harrison,
Sharma and Pavone 2018, https://arxiv.org/abs/1807.08912). A person is known by the `Evidence` of
these features, whose targets are the residuals. Because it models labels given predictions, it is
biased by clips that were chosen by their labels, unlike `persona_jax.persona.posterior`.

There are num_components components z, so num_features = 2 + num_components. The width of what the
head reads is read_width.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from persona_jax.persona import effects, fit
from persona_jax.persona.effects import Coefficients, Effects, Evidence
from persona_jax.persona.labels import GRID
from persona_jax.types import Array

NUM_COMPONENTS = 20
_START = 0.15, 0.1, 0.01  # v0, v1 and v2 at the start of the fit


class Reading(NamedTuple):
  """The whitened principal components of what the head reads.

  Attributes:
    centre: [read_width].
    directions: [read_width, num_components]; the components (read - centre) @ directions have
      variance 1 over the training clips.
  """

  centre: Array
  directions: Array


class ResidualPrior(NamedTuple):
  """How the residuals of people differ.

  Attributes:
    reading: the components z.
    effects: of the coefficients w.
  """

  reading: Reading
  effects: Effects


def fit_reading(read: Array, num_components: int = NUM_COMPONENTS) -> Reading:
  """Fits the components to training clips; directions that do not vary are left out.

  Args:
    read: [n, read_width].
    num_components: the largest number of components.
  """
  read = np.asarray(read, np.float64)
  centre = read.mean(axis=0)
  _, singular, rows = np.linalg.svd(read - centre, full_matrices=False)
  deviation = singular / np.sqrt(len(read))
  kept = min(num_components, int((deviation > 1e-5 * deviation[0]).sum()))
  # The sign of a singular vector is arbitrary. Making its largest entry positive fixes it.
  rows = rows[:kept] * np.sign(rows[np.arange(kept), np.abs(rows[:kept]).argmax(axis=1)])[:, None]
  return Reading(centre.astype(np.float32), (rows / deviation[:kept, None]).T.astype(np.float32))


@jax.default_matmul_precision('float32')
def components(reading: Reading, read: Array) -> jax.Array:
  """z of clips: [n, num_components], from what the head reads of them [n, read_width]."""
  return jnp.asarray((read - reading.centre) @ reading.directions)


def features(reading: Reading, predictions: Array, read: Array) -> jax.Array:
  """phi of clips: [n, num_features], from predictions [n] and read [n, read_width]."""
  return joined(predictions, components(reading, read))


def joined(predictions: Array, components: Array) -> jax.Array:
  """phi of clips: [n, num_features], from predictions [n] and components [n, num_components]."""
  ones = jnp.ones_like(predictions)
  return jnp.concatenate([jnp.stack([ones, predictions], axis=1), components], axis=1)


def fit_residual(
  predictions: Array, read: Array, labels: Array, speakers: Array, train: Array, unseen: Array
) -> ResidualPrior:
  """Fits the components on training clips, and the variances on the residuals of unseen speakers.

  The residuals of training speakers are not used because they are too small. The mean of the
  coefficients is fixed at 0, so a person without labelled clips gets the predictor's own prediction
  as the mean.

  Args:
    predictions: [N] of every clip, by the fold's predictor.
    read: [N, read_width] what the head reads of every clip.
    labels: [N].
    speakers: [N].
    train: [n] as in `persona_jax.persona.prior.fit_prior`.
    unseen: [n] as there.

  Raises:
    UserError: there are too few unseen speakers, or a prediction or label is not finite.
  """
  predictions, read, labels, speakers = map(np.asarray, (predictions, read, labels, speakers))
  reading = fit_reading(read[train])
  unseen = fit.unseen_clips(speakers, train, unseen)
  phi = np.asarray(features(reading, predictions[unseen], read[unseen]))
  num_components = phi.shape[1] - 2
  v0, v1, v2 = _START
  start = Effects(
    np.zeros(2 + num_components), np.array([v0, v1] + [v2] * num_components), np.array(1.0)
  )
  places = fit.enough_speakers(speakers[unseen], 'validation')
  fitted = fit.fit(
    phi,
    labels[unseen] - predictions[unseen],
    places,
    start,
    (0, 1) + (2,) * num_components,
    with_mean=False,
  )
  return ResidualPrior(reading, fitted)


def density(prior: ResidualPrior, person: Evidence, predictions: Array, read: Array) -> jax.Array:
  """p(y | f(x), z(x), the person) on `GRID`, as probabilities.

  Args:
    predictions: [n] of the person's clips whose sentiment is predicted.
    read: [n, read_width].

  Returns:
    [n, num_points].
  """
  own = effects.posterior(prior.effects, person)
  return predictive(prior, own, features(prior.reading, predictions, read))


@jax.default_matmul_precision('float32')
def predictive(prior: ResidualPrior, own: Coefficients, phi: Array) -> jax.Array:
  """`density`, given the posterior of the person's coefficients and phi [n, num_features]."""
  mean = phi[:, 1] + phi @ own.mean
  variance = prior.effects.noise + jnp.einsum('nq,qp,np->n', phi, own.covariance, phi)
  return gaussian(mean, variance)


def gaussian(mean: Array, variance: Array) -> jax.Array:
  """Gaussians of `mean` and `variance`, [n] each, as probabilities on `GRID`: [n, num_points].

  A point has the probability of its cell; the two end points include the tails beyond them.
  """
  ends = (GRID[1:] + GRID[:-1]) / 2
  below = jax.scipy.stats.norm.cdf((ends - mean[:, None]) / jnp.sqrt(variance)[:, None])
  return jnp.diff(below, axis=1, prepend=0, append=1)
