"""Losses: L1 for pre-training; a weighted sum of labels and a teacher for personalising."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from persona_jax.errors import UserError
from persona_jax.types import Array, Scalar

Distillation = Callable[[Array, Array, float], Array]

NOISE = 1e-5  # float32 predictions of one model, compiled twice, differ by less
CLASSES = np.arange(-3.0, 4.0, dtype=np.float32)  # of Acc7


def absolute(error: Array) -> Array:
  """|error|, with gradient 0 where the error is rounding noise, and its sign elsewhere.

  A student starts as its teacher: there distillation must not pull. `jnp.abs` has gradient 1 at 0,
  and beside 0 the sign of a rounding error, which Adam's first step would make a full stride.
  """
  return _still_at_zero(error, jnp.sign(error), jnp.abs(error))


def _still_at_zero(error: Array, slope: Array, value: Array) -> Array:
  """`value` with gradient `slope`, but 0 where the error is rounding noise."""
  slope = jnp.where(jnp.abs(error) < NOISE, 0, slope)
  return lax.stop_gradient(value) + lax.stop_gradient(slope) * (error - lax.stop_gradient(error))


def mean(values: Array, weights: Array) -> Array:
  """Weighted mean, []; values, weights [B]."""
  return (weights * values).sum() / weights.sum()


def l1(predictions: Array, labels: Array, weights: Array) -> Array:
  """Weighted mean absolute error, []; predictions, labels, weights [B]."""
  return mean(absolute(predictions - labels), weights)


def distillation_loss(
  scores: Array,
  labels: Array,
  teacher: Array,
  weights: Array,
  label_weight: Scalar,
  function: Distillation,
  temperature: float,
) -> Array:
  """(1 - lambda) d(y_hat, y_old) + lambda |y_hat - y|, mean over clips (paper, section 4.2).

  Args:
    scores: [K, 1] of the student, y_hat; [K, 2] with a distillation token, whose score learns from
      the teacher while the user token's learns the label.
    labels: [K], y.
    teacher: [K] predictions of the frozen pre-trained model, y_old.
    weights: [K], 0 for padding.
    label_weight: lambda, []; 1 leaves the teacher out.
    function: d, one of `DISTILLATIONS`.
    temperature: of the distillation functions over classes.
  """
  pull = mean(function(scores[:, -1], teacher, temperature), weights)
  return (1 - label_weight) * pull + label_weight * l1(scores[:, 0], labels, weights)


def _l1(student: Array, teacher: Array, temperature: float) -> Array:
  """|y - t|; the paper's choice."""
  del temperature
  return absolute(student - teacher)


def _mse(student: Array, teacher: Array, temperature: float) -> Array:
  """(y - t)^2."""
  del temperature
  error = student - teacher
  return _still_at_zero(error, 2 * error, error**2)


def _huber(student: Array, teacher: Array, temperature: float) -> Array:
  """(y - t)^2 / 2 within 1, |y - t| - 1/2 beyond (Huber 1964)."""
  del temperature
  error = student - teacher
  return _still_at_zero(error, jnp.clip(error, -1, 1), optax.huber_loss(error))


def log_classes(score: Array, temperature: float) -> Array:
  """Log-probabilities [..., 7] of the seven sentiment classes, nearer classes likelier.

  p(c) ~ exp(-(y - c)^2 / (2 T)): a Gaussian around the score y, of variance 1 at temperature T = 1
  (Diaz and Marathe 2019, "Soft Labels for Ordinal Regression", CVPR, with squared distance). Scores
  are clipped to [-3, 3] as for Acc7.
  """
  distance = jnp.clip(score, -3, 3)[..., None] - CLASSES
  return jax.nn.log_softmax(-(distance**2) / (2 * temperature))


def _cross_entropy(student: Array, teacher: Array, temperature: float) -> Array:
  """T^2 (H(p_t, p_y) - H(p_t)), p as in `log_classes`.

  Subtracting the teacher's own entropy makes it 0 at y = t. Its gradient is that of the soft cross
  entropy of Hinton et al. 2015 (https://arxiv.org/abs/1503.02531). T^2 keeps its size, as there.
  """
  return _divergence(teacher, student, student - teacher, temperature)


def _kl(student: Array, teacher: Array, temperature: float) -> Array:
  """T^2 KL(p_y || p_t), p as in `log_classes`.

  The other direction, KL(p_t || p_y), is `cross_entropy` but for a constant.
  """
  return _divergence(student, teacher, student - teacher, temperature)


def _divergence(first: Array, second: Array, error: Array, temperature: float) -> Array:
  """T^2 KL(p_first || p_second), constant where the error is rounding noise."""
  log_first, log_second = log_classes(first, temperature), log_classes(second, temperature)
  value = temperature**2 * (jnp.exp(log_first) * (log_first - log_second)).sum(axis=-1)
  return jnp.where(jnp.abs(error) < NOISE, 0, value)


DISTILLATIONS: dict[str, Distillation] = {
  'l1': _l1,
  'mse': _mse,
  'huber': _huber,
  'cross_entropy': _cross_entropy,
  'kl': _kl,
}


def distillation(name: str) -> Distillation:
  """Returns the entry of `DISTILLATIONS`. Raises `UserError` if there is none of this name."""
  if name not in DISTILLATIONS:
    raise UserError(
      f'config.adapt.distillation = {name!r}: expected one of {", ".join(DISTILLATIONS)}.'
    )
  return DISTILLATIONS[name]
