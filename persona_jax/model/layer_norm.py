"""LayerNorm in two parts, so that what several layers read is standardised once.

Parameters are those of `nn.LayerNorm`. The gradient is written out, as differentiating the mean and
the variance takes more passes.
"""

import jax
from flax import linen as nn

from persona_jax.types import Array

_EPSILON = 1e-5


class LayerNorm(nn.Module):
  """Scales and shifts what is `standardised` over its last axis, [..., E]."""

  @nn.compact
  def __call__(self, standard: Array) -> Array:
    width = (standard.shape[-1],)
    scale = self.param('scale', nn.initializers.ones, width)
    return standard * scale + self.param('bias', nn.initializers.zeros, width)


@jax.custom_vjp
def standardised(x: Array) -> Array:
  """x [..., E] less its mean, over its standard deviation, both over the last axis."""
  return _forward(x)[0]


def _forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
  centred = x - x.mean(axis=-1, keepdims=True)
  rate = jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + _EPSILON)
  standard = centred * rate
  return standard, (standard, rate)


def _backward(residuals: tuple[Array, Array], gradient: Array) -> tuple[Array]:
  standard, rate = residuals
  mean = gradient.mean(axis=-1, keepdims=True)
  slope = (gradient * standard).mean(axis=-1, keepdims=True)
  return (rate * (gradient - mean - standard * slope),)


standardised.defvjp(_forward, _backward)
