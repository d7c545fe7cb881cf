"""Dropout whose mask is a cheap hash of (key, position).

At MulT's sizes a third of a training step goes into drawing masks with JAX's default generator. A
mask needs no cryptographic strength: here two random words a call seed an integer hash of each
element's position, which XLA fuses into its consumer. The mask depends on key and position alone,
so it is the same under vmap, scan and sharding, and on every backend.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from persona_jax.types import Array


def keep_mask(key: Array, rate: float, shape: tuple[int, ...]) -> Array:
  """[*shape] bool, each True with probability 1 - `rate`.

  The mixing constants are those of lowbias32, https://github.com/skeeto/hash-prospector.
  """
  start, twist = jax.random.bits(key, (2,), jnp.uint32)
  position = jnp.zeros(shape, jnp.uint32)
  stride = 1
  for axis in reversed(range(len(shape))):
    position += lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride % 2**32)
    stride *= shape[axis]
  bits = position * jnp.uint32(0x9E3779B1) + start
  bits = (bits ^ (bits >> 16)) * jnp.uint32(0x7FEB352D) + twist
  bits = (bits ^ (bits >> 15)) * jnp.uint32(0x846CA68B)
  return (bits ^ (bits >> 16)) >= jnp.uint32(round(rate * 2**32))


def dropout(key: Array, rate: float, inputs: Array) -> Array:
  """Zeroes each element with probability `rate`, and scales the others to keep the mean."""
  return jnp.where(keep_mask(key, rate, inputs.shape), inputs / (1 - rate), 0)


class Dropout(nn.Module):
  """`dropout` with a key from the module's 'dropout' stream; the identity unless training."""

  rate: float

  @nn.compact
  def __call__(self, inputs: Array, train: bool) -> Array:
    if not train or self.rate == 0:
      return inputs
    return dropout(self.make_rng('dropout'), self.rate, inputs)
