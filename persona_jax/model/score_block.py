"""The softmax and gradients of one block of attention scores, of some heads, keys and queries."""

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from persona_jax.model import fast_prng
from persona_jax.types import Array

LOG2_E, _LN_2 = math.log2(math.e), math.log(2)  # weights are powers of 2
_LOWEST, _HIGHEST = -1e30, 1e30  # finite, so that a query without any key has a gradient of 0
FEW = 8  # steps; for fewer, a matrix product costs more to start than to compute


class AttentionMask(NamedTuple):
  """Which keys a query may attend to: query i sees key j if key_rank[j] <= last_seen[i].

  Attributes:
    last_seen: [B, T_q] int32.
    key_rank: [B, T_k] int32.
  """

  last_seen: Array
  key_rank: Array


class Operands(NamedTuple):
  """n heads, each by itself.

  Scores are [n, T_k, T_q], so that sums run along contiguous queries.

  Attributes:
    query: [n, C, T_q], scaled for exponents of 2.
    key, value: [n, T_k, C].
    mask: [n, T_q] and [n, T_k].
    dropout_words: [n, 2] of `fast_prng.words`, or None where nothing is dropped.
  """

  query: Array
  key: Array
  value: Array
  mask: AttentionMask
  dropout_words: Array | None


class Dropout(NamedTuple):
  """Which weights are dropped; the same ones whichever block they are computed in.

  Attributes:
    rate: of the weights.
    num_queries: of the whole sequence.
    first: where the block begins among a head's scores [T_k, T_q], in row-major order.
  """

  rate: float
  num_queries: int
  first: Array | int = 0


class Softmax(NamedTuple):
  """Of each query over the keys that were met so far.

  Attributes:
    peak: [n, T_q], the highest score.
    total: [n, T_q], the sum of the weights, which are 2^(score - peak).
    attended: [n, C, T_q], the sum of the values by their weights, less what is dropped.
  """

  peak: Array
  total: Array
  attended: Array


def of_no_key(operands: Operands, num_queries: int) -> Softmax:
  """The softmax of `num_queries` of each head before any key is met."""
  num_heads, _, num_channels = operands.value.shape
  attended = jnp.zeros((num_heads, num_channels, num_queries), operands.value.dtype)
  nothing = attended[:, 0]
  return Softmax(nothing + _LOWEST, nothing, attended)


def of_keys(
  dropout: Dropout,
  operands: Operands,
  value: Array,
  products: Callable[[Array, Array], Array],
  least_peak: Array | None = None,
) -> Softmax:
  """The softmax over all keys of `operands`.

  Args:
    value: [n, C, T_k]; XLA's matrix products are several times faster this way round.
    products: `products` or `sum_of_terms`, whichever is faster.
    least_peak: [n, T_q], of keys that were met before.
  """
  scores = _scores(operands, products)
  peak = scores.max(axis=1)
  if least_peak is not None:
    peak = jnp.maximum(least_peak, peak)
  weights = jnp.exp2(scores - peak[:, None])
  attended = jnp.einsum('ndk,nkq->ndq', value, _dropped(dropout, operands, weights))
  return Softmax(peak, weights.sum(axis=1), attended)


def joined(before: Softmax, after: Softmax) -> Softmax:
  """Over the keys of both; the peak of `after` is that of both."""
  scale = jnp.exp2(before.peak - after.peak)
  return Softmax(
    after.peak,
    before.total * scale + after.total,
    before.attended * scale[:, None] + after.attended,
  )


def results(softmax: Softmax) -> tuple[Array, Array]:
  """Attended values [n, C, T_q], and the log2 of each query's normaliser [n, T_q].

  Where a query sees no key, zeros and a normaliser that gives all keys a weight of 0.
  """
  peak, total, attended = softmax
  sees_any = peak > _LOWEST / 2
  return (
    jnp.where(sees_any[:, None], attended / total[:, None], 0),
    jnp.where(sees_any, peak + jnp.log2(total), _HIGHEST),
  )


def gradients(
  dropout: Dropout,
  operands: Operands,
  key: Array,
  log_normaliser: Array,
  gradient: Array,
  mean_gradient: Array,
) -> tuple[Array, Array, Array]:
  """Gradients of query, key and value, given the attended values' [n, C, T_q].

  Args:
    key: [n, C, T_k], as above.
    log_normaliser: [n, T_q].
    mean_gradient: [n, T_q], the gradient of a query's weights, averaged with those weights.
  """
  weights = jnp.exp2(_scores(operands, products) - log_normaliser[:, None])
  # d 2^x / dx = ln(2) 2^x. The factor is put on the smaller arrays.
  weight_gradient = _dropped(dropout, operands, products(operands.value, _LN_2 * gradient))
  score_gradient = weights * (weight_gradient - (_LN_2 * mean_gradient)[:, None])
  return (
    jnp.einsum('ndk,nkq->ndq', key, score_gradient),
    jnp.einsum('nkq,ndq->nkd', score_gradient, operands.query),
    jnp.einsum('nkq,ndq->nkd', _dropped(dropout, operands, weights), gradient),
  )


def products(left: Array, right: Array) -> Array:
  """[n, T_k, C] and [n, C, T_q] -> [n, T_k, T_q], inner products over C."""
  if min(left.shape[1], right.shape[2]) < FEW:
    return sum_of_terms(left, right)
  return jnp.einsum('nkd,ndq->nkq', left, right)


def sum_of_terms(left: Array, right: Array) -> Array:
  """As `products`, in one loop that XLA fuses with what follows."""
  terms = (left[:, :, d, None] * right[:, d, None, :] for d in range(left.shape[2]))
  return cast(jax.Array, sum(terms))  # of at least one term, so never the integer 0


def _scores(operands: Operands, products: Callable[[Array, Array], Array]) -> Array:
  """[n, T_k, T_q], exponents of 2; `_LOWEST` where masked."""
  last_seen, key_rank = operands.mask
  visible = key_rank[:, :, None] <= last_seen[:, None, :]
  return jnp.where(visible, products(operands.key, operands.query), _LOWEST)


def _dropped(dropout: Dropout, operands: Operands, weights: Array) -> Array:
  """Inverted dropout; the same words drop the same weights again in the backward pass."""
  rate, num_queries, first = dropout
  if not rate:
    return weights
  words = cast(jax.Array, operands.dropout_words)
  _, num_rows, num_columns = weights.shape
  bits = fast_prng.bits_of_part(words, (num_rows, num_columns), num_queries, first)
  return jnp.where(bits >= jnp.uint32(rate * 2**32), weights / (1 - rate), 0)
