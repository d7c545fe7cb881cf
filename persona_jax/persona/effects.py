"""Linear models whose coefficients vary between speakers, fitted from sums over a speaker's clips.

The targets of a speaker are t = phi . w + noise, with coefficients w ~ N(mean, diag(variance))
drawn once per speaker. These are random effects (Laird and Ware 1982, "Random-Effects Models for
Longitudinal Data", Biometrics 38); with features phi from a network, the model is ALPaCA (Harrison,
Sharma and Pavone 2018, https://arxiv.org/abs/1807.08912). The posterior of w depends on a speaker's
clips only through a few sums, so clips can be added in any order, and removed again.

The length of phi and w is num_features.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from persona_jax.types import Array, Scalar


class Effects(NamedTuple):
  """How coefficients differ between speakers: the hyper-parameters of one model.

  Attributes:
    mean: [num_features] mean over speakers of the coefficients.
    variance: [num_features] variance between speakers; 0 where all speakers are alike.
    noise: [] variance of a target around phi . w; positive.
  """

  mean: Array
  variance: Array
  noise: Scalar


class Evidence(NamedTuple):
  """Sufficient statistics of clips for their speaker's coefficients; those of two sets add up.

  Attributes:
    gram: [num_features, num_features] sum of phi phi'.
    cross: [num_features] sum of t phi.
    square: [] sum of t^2.
    count: [] number of clips.
  """

  gram: Array
  cross: Array
  square: Scalar
  count: Scalar


class Coefficients(NamedTuple):
  """The Gaussian posterior of a speaker's coefficients.

  Attributes:
    mean: [num_features].
    covariance: [num_features, num_features].
  """

  mean: Array
  covariance: Array


def no_evidence(num_features: int) -> Evidence:
  """The evidence of an empty set of clips."""
  return Evidence(
    jnp.zeros((num_features, num_features)),
    jnp.zeros(num_features),
    jnp.zeros(()),
    jnp.zeros(()),
  )


@jax.default_matmul_precision('float32')
def evidence(features: Array, targets: Array, weights: Array) -> Evidence:
  """The evidence of K clips.

  Args:
    features: [K, num_features] phi.
    targets: [K].
    weights: [K] 1 for a clip, 0 for padding.
  """
  weighted = features * weights[:, None]
  return Evidence(
    weighted.T @ features, weighted.T @ targets, (weights * targets**2).sum(), weights.sum()
  )


def add(first: Evidence, second: Evidence) -> Evidence:
  """The evidence of two disjoint sets of clips together. Takes any pytree of evidence."""
  return jax.tree.map(jnp.add, first, second)


def remove(whole: Evidence, part: Evidence) -> Evidence:
  """The evidence of the clips of `whole` that are not in `part`. Takes any pytree of evidence."""
  return jax.tree.map(jnp.subtract, whole, part)


@jax.default_matmul_precision('float32')
def posterior(effects: Effects, seen: Evidence) -> Coefficients:
  """The posterior of a speaker's coefficients; without evidence it is the prior.

  Bayesian linear regression (Bishop 2006, equations 3.50 and 3.51) in coordinates in which the
  prior is white. The matrix to invert is I + D^(1/2) G D^(1/2) / noise with D = diag(variance) and
  G the gram matrix. Its eigenvalues are at least 1, so float32 is enough, also where a variance is
  0.
  """
  scale, inverse, _, projected = _whitened(effects, seen)
  covariance = scale[:, None] * inverse * scale
  return Coefficients(effects.mean + scale * (inverse @ projected), covariance)


@jax.default_matmul_precision('float32')
def log_marginal(effects: Effects, seen: Evidence) -> Array:
  """log p(targets | features) of a speaker's clips, with the coefficients integrated out: [].

  This is the log density of N(Phi mean, noise I + Phi D Phi') at the targets, where the rows of Phi
  are the clips' phi, computed with the matrix determinant and inversion lemmas.
  """
  _, inverse, log_determinant, projected = _whitened(effects, seen)
  residual = (
    seen.square - 2 * effects.mean @ seen.cross + effects.mean @ seen.gram @ effects.mean
  ) / effects.noise
  return -0.5 * (
    seen.count * jnp.log(2 * jnp.pi * effects.noise)
    + log_determinant
    + residual
    - projected @ inverse @ projected
  )


def _whitened(
  effects: Effects, seen: Evidence
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """The terms of the whitened regression.

  Returns:
    D^(1/2) as [num_features], the inverse [num_features, num_features] and the log determinant []
    of the matrix, and D^(1/2) Phi' (t - Phi mean) / noise [num_features].
  """
  # The gradient of a square root is infinite at 0, so variances are at least the smallest normal
  # float.
  scale = jnp.sqrt(jnp.maximum(effects.variance, jnp.finfo(jnp.float32).tiny))
  matrix = jnp.eye(len(scale)) + scale[:, None] * seen.gram * scale / effects.noise
  projected = scale * (seen.cross - seen.gram @ effects.mean) / effects.noise
  return scale, *_inverse(matrix), projected


def _inverse(matrix: Array) -> tuple[jax.Array, jax.Array]:
  """The inverse and log determinant of a small symmetric positive definite matrix.

  By the sweep operator (Goodnight 1979, "A Tutorial on the SWEEP Operator", The American
  Statistician 33), one pivot after the other. LAPACK would do the same, but jaxlib's kernels for
  batches wait in the threads that they need: with two batched solves in a program, a machine of two
  cores stands still for ever (seen in jaxlib 0.10).
  """

  def sweep(place, carry):
    swept, log_determinant = carry
    pivot, column = swept[place, place], swept[place]
    is_pivot = jnp.arange(len(column)) == place
    scaled = jnp.where(is_pivot, -1, column) / pivot
    rest = swept - jnp.outer(column, column) / pivot
    crossed = is_pivot[:, None] | is_pivot
    cross = jnp.where(is_pivot[:, None], scaled, scaled[:, None])
    return jnp.where(crossed, cross, rest), log_determinant + jnp.log(pivot)

  swept, log_determinant = jax.lax.fori_loop(
    0, len(matrix), sweep, (jnp.asarray(matrix), jnp.zeros((), jnp.asarray(matrix).dtype))
  )
  return -swept, log_determinant
