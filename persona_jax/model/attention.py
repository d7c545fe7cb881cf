"""Masks, positions, and multi-head attention from one sequence to another."""

import math
from typing import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from persona_jax.types import Array

_LOWEST, _TINY = -1e30, 1e-30  # finite, so that a row without any allowed key has a gradient of 0


def ranks(mask: Array) -> Array:
  """[B, T] int32: how many valid steps come before a step; padding does not count."""
  return jnp.cumsum(mask, axis=1, dtype=jnp.int32) - 1


def allowed_pairs(query_mask: Array, key_mask: Array) -> Array:
  """Which keys each query may attend to: valid ones, up to MulT's offset diagonal.

  The reference lets query i see key j when j <= i + |T_k - T_q| (`buffered_future_mask` of
  https://github.com/yaohungt/Multimodal-Transformer). Here steps are counted among the valid ones
  of the clip, so padding changes nothing; without padding both are the same.

  Args:
    query_mask: [B, T_q] bool.
    key_mask: [B, T_k] bool.

  Returns:
    [B, T_q, T_k] bool.
  """
  offset = jnp.abs(key_mask.sum(axis=1) - query_mask.sum(axis=1))
  last_seen = ranks(query_mask) + offset[:, None]
  return key_mask[:, None, :] & (ranks(key_mask)[:, None, :] <= last_seen[:, :, None])


def sinusoids(positions: Array, width: int) -> Array:
  """Sinusoidal position vectors as in tensor2tensor: sines, then cosines, [..., width].

  Source: `SinusoidalPositionalEmbedding` of the reference; an odd width ends in a zero.
  """
  half = width // 2
  rates = jnp.exp(jnp.arange(half) * (-math.log(10_000) / max(half - 1, 1)))
  angles = positions[..., None] * rates
  waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
  return jnp.pad(waves, [(0, 0)] * positions.ndim + [(0, width % 2)])


def masked_softmax(scores: Array, allowed: Array) -> Array:
  """Softmax over the last axis among the allowed entries; all zeros where none is allowed."""
  scores = jnp.where(allowed, scores, _LOWEST)
  peak = jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True))
  unnormalised = jnp.exp(scores - peak) * allowed
  return unnormalised / jnp.maximum(unnormalised.sum(axis=-1, keepdims=True), _TINY)


def attend(query: Array, key: Array, value: Array, allowed: Array,
           drop: Callable[[Array], Array]) -> Array:
  """Softmax attention over the allowed keys; a query with none gets zeros.

  Args:
    query: [B, T_q, H, E/H], already scaled.
    key, value: [B, T_k, H, E/H].
    allowed: [B, T_q, T_k] bool.
    drop: dropout of the attention weights.

  Returns:
    [B, T_q, H, E/H].
  """
  scores = jnp.einsum('bqhd,bkhd->bhqk', query, key)
  weights = drop(masked_softmax(scores, allowed[:, None]))
  return jnp.einsum('bhqk,bkhd->bqhd', weights, value)


class MultiHeadAttention(nn.Module):
  """Multi-head attention with biases, as in "Attention Is All You Need".

  One fused kernel [E, 3E] projects queries, keys and values, initialised as one matrix as in the
  reference (Glorot uniform over E + 3E).
  """

  num_heads: int
  dropout_rate: float

  @nn.compact
  def __call__(self, query: Array, key: Array, value: Array, allowed: Array, train: bool) -> Array:
    """query [B, T_q, E], key and value [B, T_k, E], allowed [B, T_q, T_k] -> [B, T_q, E]."""
    width = query.shape[-1]
    head_width = width // self.num_heads
    kernel = self.param('kernel', nn.initializers.xavier_uniform(), (width, 3 * width))
    bias = self.param('bias', nn.initializers.zeros, (3 * width,))

    def project(inputs, part):
      columns = slice(part * width, (part + 1) * width)
      projected = inputs @ kernel[:, columns] + bias[columns]
      return projected.reshape(*projected.shape[:2], self.num_heads, head_width)

    mixed = attend(project(query, 0) * head_width**-0.5, project(key, 1), project(value, 2), allowed,
                   nn.Dropout(self.dropout_rate, deterministic=not train))
    return nn.Dense(width, kernel_init=nn.initializers.xavier_uniform(), name='output')(
        mixed.reshape(query.shape))
