"""Losses: L1 for pre-training, and the paper's distillation loss for personalising."""

import jax.numpy as jnp
from jax import lax

from persona_jax.types import Array


NOISE = 1e-5  # float32 predictions of one model, compiled twice, differ by less


def absolute(error: Array) -> Array:
  """|error|, with gradient 0 where the error is but rounding noise, and its sign elsewhere.

  A student starts as its teacher: there distillation must not pull. `jnp.abs` has gradient 1 at 0,
  and beside 0 the sign of a rounding error, which Adam's first step would make a full stride.
  """
  sign = jnp.where(jnp.abs(error) < NOISE, 0, jnp.sign(error))
  fixed = lax.stop_gradient(error)
  return jnp.abs(fixed) + lax.stop_gradient(sign) * (error - fixed)


def l1(predictions: Array, labels: Array, weights: Array) -> Array:
  """Weighted mean absolute error, []; predictions, labels, weights [B]."""
  return (weights * absolute(predictions - labels)).sum() / weights.sum()


def distilled_l1(predictions: Array, labels: Array, teacher: Array, label_weight: Array) -> Array:
  """(1 - lambda) |y_hat - y_old| + lambda |y_hat - y|, mean over clips (paper, section 4.2).

  Args:
    predictions: [K] of the student, y_hat.
    labels: [K], y.
    teacher: [K] predictions of the frozen pre-trained model, y_old.
    label_weight: lambda, []; 1 leaves the teacher out.
  """
  distillation = absolute(predictions - teacher).mean()
  return (1 - label_weight) * distillation + label_weight * absolute(predictions - labels).mean()
