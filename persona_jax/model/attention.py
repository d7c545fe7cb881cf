"""Masks, positions, and multi-head attention from one sequence to another."""

import math

import jax.numpy as jnp
from flax import linen as nn

from persona_jax.model.products import dot_general, matmul
from persona_jax.model.score_block import AttentionMask
from persona_jax.model.softmax_attention import attend, mean_weights
from persona_jax.types import Array

MAPS = 'maps'  # the collection of attention weights, filled where `apply` has it as mutable
_NEVER = 2**30  # the rank of padding, which no query sees


def ranks(mask: Array) -> Array:
  """[B, T] int32: how many valid steps come before a step; padding does not count."""
  return jnp.cumsum(mask, axis=1, dtype=jnp.int32) - 1


def causal_mask(query_mask: Array, key_mask: Array) -> AttentionMask:
  """Lets each query see the valid keys up to MulT's offset diagonal.

  The reference lets query i see key j when j <= i + |T_k - T_q| (`buffered_future_mask` of
  https://github.com/yaohungt/Multimodal-Transformer). Here steps are counted among the valid ones
  of the clip, so padding changes nothing; without padding both are the same.

  Args:
    query_mask: [B, T_q] bool.
    key_mask: [B, T_k] bool.
  """
  offset = jnp.abs(key_mask.sum(axis=1) - query_mask.sum(axis=1))
  return AttentionMask(
    ranks(query_mask) + offset[:, None], jnp.where(key_mask, ranks(key_mask), _NEVER)
  )


def sinusoids(positions: Array, width: int) -> Array:
  """Sinusoidal position vectors as in tensor2tensor: sines, then cosines, [..., width].

  Source: `SinusoidalPositionalEmbedding` of the reference; an odd width ends in a zero.
  """
  half = width // 2
  rates = jnp.exp(jnp.arange(half) * (-math.log(10_000) / max(half - 1, 1)))
  angles = positions[..., None] * rates
  waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
  return jnp.pad(waves, [(0, 0)] * positions.ndim + [(0, width % 2)])


class MultiHeadAttention(nn.Module):
  """Multi-head attention with biases, as in "Attention Is All You Need".

  The kernels of queries, keys and values are one array [E, 3E], initialised as one matrix as in the
  reference (Glorot uniform over E + 3E). Each has a product of its own: the gradients of a common
  one would have to be joined in width, which takes longer on CPUs than two more products.
  """

  num_heads: int
  dropout_rate: float

  @nn.compact
  def __call__(self, streams: tuple[Array, ...], mask: AttentionMask, train: bool) -> Array:
    """Attends from the first stream to the last.

    Args:
      streams: what queries, keys and values are projected from, [B, T, E] each. (x,) projects all
        three from one sequence; (target, source) projects queries from the target, keys and values
        from the source; (target, key source, value source) projects each from its own.

    Returns:
      [B, T_q, E].
    """
    width = streams[0].shape[-1]
    kernel = self.param('kernel', nn.initializers.xavier_uniform(), (width, 3 * width))
    bias = self.param('bias', nn.initializers.zeros, (3 * width,))

    sources = streams[0], streams[len(streams) // 2], streams[-1]
    kernels, biases = jnp.split(kernel, 3, axis=1), jnp.split(bias, 3)
    query, key, value = (matmul(x, w) + b for x, w, b in zip(sources, kernels, biases, strict=True))
    if self.is_mutable_collection(MAPS) and not self.is_initializing():
      self.sow(MAPS, 'weights', mean_weights(query, key, self.num_heads, mask))
    rate = self.dropout_rate if train else 0.0
    dropout_key = self.make_rng('dropout') if rate else None
    mixed = attend(query, key, value, self.num_heads, mask, rate, dropout_key)
    initialiser = nn.initializers.xavier_uniform()
    return nn.Dense(width, kernel_init=initialiser, dot_general=dot_general, name='output')(mixed)
