"""Masks, positions, and multi-head attention from one sequence to another."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from persona_jax.model.softmax_attention import AttentionMask, attend, mean_weights
from persona_jax.types import Array

MAPS = 'maps'  # the collection of attention weights, filled where `apply` has it as mutable
_PROJECTIONS = {1: (3,), 2: (1, 2), 3: (1, 1, 1)}  # {streams: the projections of each}
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

  One fused kernel [E, 3E] projects queries, keys and values, initialised as one matrix as in the
  reference (Glorot uniform over E + 3E).
  """

  num_heads: int
  dropout_rate: float

  @nn.compact
  def __call__(self, streams: tuple[Array, ...], mask: AttentionMask, train: bool) -> Array:
    """Attends from the first stream to the last.

    Args:
      streams: what queries, keys and values are projected from, [B, T, E] each. (x,) projects all
        three from one sequence; (target, source) projects queries from the target, keys and values
        from the source; (target, key source, value source) projects each from its own. Projections
        of one stream are one matrix product.

    Returns:
      [B, T_q, E].
    """
    width = streams[0].shape[-1]
    kernel = self.param('kernel', nn.initializers.xavier_uniform(), (width, 3 * width))
    bias = self.param('bias', nn.initializers.zeros, (3 * width,))

    projected: list[jax.Array] = []
    for inputs, count in zip(streams, _PROJECTIONS[len(streams)], strict=True):
      columns = slice(len(projected) * width, (len(projected) + count) * width)
      projected += jnp.split(inputs @ kernel[:, columns] + bias[columns], count, axis=-1)

    query, key, value = projected
    if self.is_mutable_collection(MAPS) and not self.is_initializing():
      self.sow(MAPS, 'weights', mean_weights(query, key, self.num_heads, mask))
    rate = self.dropout_rate if train else 0.0
    dropout_key = self.make_rng('dropout') if rate else None
    mixed = attend(query, key, value, self.num_heads, mask, rate, dropout_key)
    return nn.Dense(width, kernel_init=nn.initializers.xavier_uniform(), name='output')(mixed)
