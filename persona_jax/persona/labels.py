"""The label part: how positive a person's clips are, as a tilt of the pooled density of labels.

  p(y | u) = h(y) exp(theta_u y) / Z(theta_u),  theta_u ~ N(0, deviation^2)

The base density h is tabulated on a grid, so it keeps the shape of the labels, which is flatter
than a Gaussian and bounded at -3 and 3. The labels of each person are samples from h with that
person's selection bias exp(theta_u y). h is therefore estimated from all people by the method of
Vardi 1985 ("Empirical distributions in selection bias models", Annals of Statistics 13), with
smoothed labels, and the deviation by maximum marginal likelihood. The posterior of theta_u depends
on a person's labels only through their number and their sum.

The grid has num_points points, and the posterior of theta_u is computed at num_tilts tilts.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, special

from persona_jax.persona import fit
from persona_jax.types import Array, Scalar

LIMIT = 3.0  # labels are within -LIMIT and LIMIT
GRID = np.linspace(-LIMIT, LIMIT, 61, dtype=np.float32)  # [num_points] of sentiment
TILTS = np.linspace(-5, 5, 201, dtype=np.float32)  # [num_tilts] in units of the deviation
BANDWIDTH = 0.5  # of the Gaussian kernel that smooths the labels
_ROUNDS = 10  # of Vardi's fixed-point iteration
_DEVIATIONS = 0.02, 2.0  # bounds of the fitted deviation
_TYPICAL = 0.4  # the deviation's weak prior: log-normal with this median and a log deviation of 1


class LabelPrior(NamedTuple):
  """How the labels of people differ.

  Attributes:
    log_base: [num_points] log h, whose probabilities sum to 1.
    deviation: [] standard deviation of the tilts.
  """

  log_base: Array
  deviation: Scalar | float


class Labels(NamedTuple):
  """Sufficient statistics of a person's labels for the tilt; those of two sets of clips add up.

  Attributes:
    count: [] number of labels.
    total: [] their sum.
  """

  count: Scalar
  total: Scalar


def no_labels() -> Labels:
  """The statistics of an empty set of labels."""
  return Labels(jnp.zeros(()), jnp.zeros(()))


def observe(labels: Array, weights: Array) -> Labels:
  """The statistics of labels [K]; weights [K] are 1, or 0 for a label that does not count."""
  return Labels(weights.sum(), (weights * labels).sum())


def log_density(prior: LabelPrior, seen: Labels) -> jax.Array:
  """log p(y | the person's labels), with the tilt integrated out, as log probabilities.

  Returns:
    [num_points]; the probabilities sum to 1.
  """
  tilted, log_normaliser = _tilted(prior, jax.nn.logsumexp)
  log_posterior = _log_joint(prior, log_normaliser, seen.count, seen.total)
  log_posterior = log_posterior - jax.nn.logsumexp(log_posterior)
  return jax.nn.logsumexp(tilted - log_normaliser[:, None] + log_posterior[:, None], axis=0)


def fit_labels(labels: Array, places: Sequence[np.ndarray]) -> LabelPrior:
  """Fits h and the deviation, on the host in float64.

  Args:
    labels: [n] of clips.
    places: for each person, the indices of that person's clips.

  Raises:
    UserError: a label is not finite.
  """
  labels = fit.expect_finite(labels)
  count = np.array([float(len(own)) for own in places])[:, None]
  total = np.array([labels[own].sum() for own in places])[:, None]
  grid = GRID.astype(np.float64)
  # Mirroring the labels at both ends returns the mass that smoothing would move beyond them.
  images = np.concatenate([labels, 2 * LIMIT - labels, -2 * LIMIT - labels])
  kernel = np.exp(-0.5 * ((grid[:, None] - images) / BANDWIDTH) ** 2)
  share = kernel.reshape(len(grid), 3, -1).sum(axis=1)
  counts = (share / share.sum(axis=0))[:, np.concatenate(places)].sum(axis=1)
  log_base = np.log(counts / counts.sum())
  deviation = _fit_deviation(log_base, count, total)
  for _ in range(_ROUNDS):
    prior = LabelPrior(log_base, deviation)
    tilted, log_normaliser = _tilted(prior, _logsumexp)
    belief = special.softmax(_log_joint(prior, log_normaliser, count, total), axis=1)
    # The density of labels at a tilt, relative to h.
    bias = np.exp(tilted - log_base - log_normaliser[:, None])
    log_base = np.log(counts / (count[:, 0] @ belief @ bias))
    log_base -= special.logsumexp(log_base)
    deviation = _fit_deviation(log_base, count, total)
  return LabelPrior(log_base.astype(np.float32), np.float32(deviation))


def _fit_deviation(log_base: np.ndarray, count: np.ndarray, total: np.ndarray) -> float:
  """The deviation of largest marginal likelihood; count and total are [num_people, 1]."""

  def negative(log_deviation):
    prior = LabelPrior(log_base, np.exp(log_deviation))
    _, log_normaliser = _tilted(prior, _logsumexp)
    likelihood = _logsumexp(_log_joint(prior, log_normaliser, count, total), axis=1).sum()
    return 0.5 * (log_deviation - np.log(_TYPICAL)) ** 2 - likelihood

  found: Any = optimize.minimize_scalar(
    negative, bounds=np.log(_DEVIATIONS), method='bounded', options=dict(xatol=1e-6)
  )
  return float(np.exp(found.x))


def _logsumexp(values: np.ndarray, axis: int) -> np.ndarray:
  """`special.logsumexp`, which is annotated as if it could return signs too."""
  return np.asarray(special.logsumexp(values, axis=axis))


def _tilted(prior: LabelPrior, logsumexp: Callable[..., Any]) -> tuple[Any, Any]:
  """The tilted base densities, in NumPy or JAX as `logsumexp` is.

  Returns:
    log h + theta y [num_tilts, num_points], and log Z [num_tilts].
  """
  theta = prior.deviation * TILTS
  tilted = prior.log_base + theta[:, None] * GRID
  return tilted, logsumexp(tilted, axis=1)


def _log_joint(prior: LabelPrior, log_normaliser: Any, count: Scalar, total: Scalar) -> Any:
  """log p(theta, labels) up to terms that do not depend on theta: [..., num_tilts]."""
  log_prior = -0.5 * TILTS**2
  log_prior = log_prior - np.log(np.exp(log_prior).sum())
  return log_prior + total * prior.deviation * TILTS - count * log_normaliser
