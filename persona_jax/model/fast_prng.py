"""A fast random generator for dropout, registered with JAX as a key implementation.

At MulT's sizes, JAX's default generator takes a third of a training step to draw dropout masks, and
most of the compiler's time. A mask needs no cryptographic strength. Here bits are an integer hash
of (key, position), a few operations that XLA fuses into their consumer. They depend on key and
position alone, so they are the same under vmap, scan and sharding, and on every backend.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import random as extend_random

from persona_jax.types import Scalar

_GOLDEN = 0x9E3779B9  # 2^32 / golden ratio: spreads consecutive numbers


def _mix(bits: jax.Array, twist: jax.Array | int = 0) -> jax.Array:
  """The hash lowbias32 of uint32, with `twist` added half-way.

  Source: https://github.com/skeeto/hash-prospector.
  """
  bits = (bits ^ (bits >> 16)) * jnp.uint32(0x7FEB352D) + jnp.uint32(twist)
  bits = (bits ^ (bits >> 15)) * jnp.uint32(0x846CA68B)
  return bits ^ (bits >> 16)


def _seed(seed: jax.Array) -> jax.Array:
  return _fold_in(jnp.zeros(2, jnp.uint32), seed)


def _fold_in(key: jax.Array, number: int | jax.Array) -> jax.Array:
  """[2] uint32 key and a number [...] -> keys [..., 2]."""
  steps = jnp.asarray(number).astype(jnp.uint32) * jnp.uint32(_GOLDEN) + jnp.uint32(1)
  first = _mix(key[0] + steps, key[1])
  return jnp.stack([first, key[1] + first * steps], axis=-1)


def _split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  return _fold_in(key, _positions(shape))


def _positions(shape: tuple[int, ...]) -> jax.Array:
  """[*shape] uint32, 0 and up in row-major order."""
  positions = jnp.zeros(shape, jnp.uint32)
  for axis in range(len(shape)):
    stride = math.prod(shape[axis + 1 :]) % 2**32
    positions += lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride)
  return positions


def _random_bits(key: jax.Array, bit_width: int, shape: tuple[int, ...]) -> jax.Array:
  if bit_width != 32:
    raise ValueError(f'this generator draws 32-bit words, not {bit_width}-bit ones')
  return _bits(key, _positions(shape))


def _bits(key: jax.Array, positions: jax.Array) -> jax.Array:
  return _mix(positions * jnp.uint32(_GOLDEN) + key[0], key[1])


_IMPLEMENTATION = extend_random.define_prng_impl(
  key_shape=(2,),
  seed=_seed,
  split=_split,
  random_bits=_random_bits,
  fold_in=_fold_in,
  name='fast',
  tag='fast',
)


def fast_key(seed: int | Scalar) -> jax.Array:
  """A typed key, to be used like any other with `jax.random` and Flax."""
  return jax.random.key(seed, impl=_IMPLEMENTATION)


def words(keys: jax.Array) -> jax.Array:
  """Typed keys [n] of any implementation -> [n, 2] uint32, for `bits_of_part`."""
  return jax.random.key_data(keys)[:, :2]


def bits_of_part(
  words: jax.Array, shape: tuple[int, int], num_columns: int, first: int | Scalar = 0
) -> jax.Array:
  """A part of [..., `num_columns`] tables of random bits, [n, *shape], the same whichever part.

  With the words of fast keys the tables are those of `jax.random.bits`.

  Args:
    words: [n, 2], one pair per table.
    shape: rows and columns of the part.
    num_columns: of the whole table.
    first: where the part begins, counted in row-major order.
  """
  rows, columns = (lax.broadcasted_iota(jnp.uint32, shape, axis) for axis in (0, 1))
  positions = rows * jnp.uint32(num_columns) + columns + jnp.asarray(first).astype(jnp.uint32)
  return jax.vmap(_bits, (0, None))(words, positions)
