"""Softmax attention that never holds the scores of a whole batch.

MulT's heads are 3 to 6 channels wide, so attention is bound by memory traffic: at 500 x 500 steps,
10 heads and 24 clips the scores alone are 240 MB, written and read several times per layer. Here a
few heads at a time are computed from start to end while their scores are in the cache. The backward
pass recomputes the scores from the logarithm of each query's softmax normaliser (Dao et al. 2022,
FlashAttention, https://arxiv.org/abs/2205.14135).

cuDNN's fused attention (`jax.nn.dot_product_attention`) takes half precision and head widths that
are multiples of 8 only, so accelerators run this as well, with larger chunks.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from persona_jax.types import Array

SAVED = 'attended'  # the checkpoint name of what the backward pass needs; see `encoder._scanned`
_LOWEST, _HIGHEST = -1e30, 1e30  # finite, so that a query without any key has a gradient of 0
_LOG2_E, _LN_2 = math.log2(math.e), math.log(2)  # weights are powers of 2
_FEW = 8  # steps; for fewer, a matrix product costs more to start than to compute
_FEW_SCORES, _FEW_CHANNELS = 2**12, 8  # of a head; see `_sums_terms`
_CHUNK_BYTES = {'cpu': 2**21}  # of scores: about a core's own cache
_ACCELERATOR_CHUNK_BYTES = 2**30


class AttentionMask(NamedTuple):
  """Which keys a query may attend to: query i sees key j if key_rank[j] <= last_seen[i].

  Attributes:
    last_seen: [B, T_q] int32.
    key_rank: [B, T_k] int32.
  """

  last_seen: Array
  key_rank: Array


class _Operands(NamedTuple):
  """B H heads, each by itself.

  Scores are [B H, T_k, T_q], so that sums run along contiguous queries.

  Attributes:
    query: [B H, C, T_q], scaled for exponents of 2.
    key, value: [B H, T_k, C].
    mask: [B H, T_q] and [B H, T_k].
    dropout_keys: [B H] keys, or None where nothing is dropped.
  """

  query: Array
  key: Array
  value: Array
  mask: AttentionMask
  dropout_keys: Array | None


def attend(
  query: Array,
  key: Array,
  value: Array,
  num_heads: int,
  mask: AttentionMask,
  dropout_rate: float = 0.0,
  dropout_key: Array | None = None,
) -> Array:
  """Multi-head softmax attention over the keys that the mask lets each query see.

  Scores are scaled by 1/sqrt(C), C = E/H. A query that sees no key gets zeros.

  Args:
    query: [B, T_q, E].
    key, value: [B, T_k, E].
    dropout_rate: of the attention weights.
    dropout_key: needed if the rate is above 0.

  Returns:
    [B, T_q, E].
  """
  num_clips, num_queries, width = query.shape
  head_width = width // num_heads
  # So that every layer compares ranks anew: reading what was compared before takes longer.
  query, mask = lax.optimization_barrier((query, mask))

  def columns(array: Array) -> Array:
    return array.swapaxes(1, 2).reshape(-1, head_width, array.shape[1])

  def rows(array: Array) -> Array:
    by_head = array.reshape(*array.shape[:2], num_heads, head_width).swapaxes(1, 2)
    return by_head.reshape(-1, array.shape[1], head_width)

  operands = _Operands(
    columns(query * (_LOG2_E * head_width**-0.5)),
    rows(key),
    rows(value),
    jax.tree.map(lambda ranks: jnp.repeat(ranks, num_heads, axis=0), mask),
    dropout_keys=None,
  )
  if dropout_rate:
    assert dropout_key is not None, 'dropout needs a key'
    operands = operands._replace(dropout_keys=jax.random.split(dropout_key, num_clips * num_heads))
  attended = cast(jax.Array, _attend(dropout_rate, operands))
  return attended.reshape(num_clips, width, num_queries).swapaxes(1, 2)


def mean_weights(query: Array, key: Array, num_heads: int, mask: AttentionMask) -> Array:
  """The attention weights, [B, T_q, T_k], mean over heads; for figures, not for training.

  Arguments are those of `attend`.
  """

  def split(array: Array) -> Array:
    return array.reshape(*array.shape[:2], num_heads, -1)

  scores = jnp.einsum('bqhd,bkhd->bhqk', split(query), split(key))
  visible = (mask.key_rank[:, None, :] <= mask.last_seen[:, :, None])[:, None]
  weights = jax.nn.softmax(scores * (query.shape[2] // num_heads) ** -0.5, axis=-1, where=visible)
  return jnp.where(visible, weights, 0).mean(axis=1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(rate: float, operands: _Operands) -> Array:
  """[B H, C, T_q]."""
  return _forward(rate, operands)[0]


def _forward(rate: float, operands: _Operands):
  attended, log_normaliser = _in_chunks(
    functools.partial(_attend_chunk, rate, _sums_terms(operands)),
    operands,
    operands.value.swapaxes(1, 2),
  )
  attended = checkpoint_name(attended, SAVED)
  return attended, (operands, attended, checkpoint_name(log_normaliser, SAVED))


def _backward(rate: float, residuals, gradient: Array):
  operands, attended, log_normaliser = residuals
  query, key, value = _in_chunks(
    functools.partial(_gradient_chunk, rate),
    operands,
    operands.key.swapaxes(1, 2),
    attended,
    log_normaliser,
    gradient,
  )
  # Ranks and keys are integers, which have no gradient.
  return (operands._replace(query=query, key=key, value=value, mask=None, dropout_keys=None),)


_attend.defvjp(_forward, _backward)


def _attend_chunk(
  rate: float, sums_terms: bool, operands: _Operands, value: Array
) -> tuple[Array, Array]:
  """Attended values [B H, C, T_q], and the log2 of each query's normaliser [B H, T_q].

  Args:
    sums_terms: compute scores as `_sum_of_terms`.
    value: [B H, C, T_k]; XLA's matrix products are several times faster this way round.
  """
  scores = _scores(operands, _sum_of_terms if sums_terms else _products)
  peak = scores.max(axis=1)
  weights = jnp.exp2(scores - peak[:, None])
  total = weights.sum(axis=1)
  attended = jnp.einsum('ndk,nkq->ndq', value, _dropped(rate, operands, weights))
  sees_any = peak > _LOWEST / 2
  return (
    jnp.where(sees_any[:, None], attended / total[:, None], 0),
    jnp.where(sees_any, peak + jnp.log2(total), _HIGHEST),
  )


def _gradient_chunk(
  rate: float,
  operands: _Operands,
  key: Array,
  attended: Array,
  log_normaliser: Array,
  gradient: Array,
) -> tuple[Array, Array, Array]:
  """Gradients of query, key and value, given the attended values' [B H, C, T_q].

  Args:
    key: [B H, C, T_k], as above.
  """
  weights = jnp.exp2(_scores(operands) - log_normaliser[:, None])
  # d 2^x / dx = ln(2) 2^x. The factor is put on the smallest array.
  scaled = _LN_2 * gradient
  weight_gradient = _dropped(rate, operands, _products(operands.value, scaled))
  mean_gradient = (scaled * attended).sum(axis=1, keepdims=True)
  score_gradient = weights * (weight_gradient - mean_gradient)
  return (
    jnp.einsum('ndk,nkq->ndq', key, score_gradient),
    jnp.einsum('nkq,ndq->nkd', score_gradient, operands.query),
    jnp.einsum('nkq,ndq->nkd', _dropped(rate, operands, weights), gradient),
  )


def _products(left: Array, right: Array) -> Array:
  """[B H, T_k, C] and [B H, C, T_q] -> [B H, T_k, T_q], inner products over C."""
  if min(left.shape[1], right.shape[2]) < _FEW:
    return _sum_of_terms(left, right)
  return jnp.einsum('nkd,ndq->nkq', left, right)


def _sum_of_terms(left: Array, right: Array) -> Array:
  """As `_products`, in one loop that XLA fuses with what follows."""
  terms = (left[:, :, d, None] * right[:, d, None, :] for d in range(left.shape[2]))
  return cast(jax.Array, sum(terms))  # of at least one term, so never the integer 0


def _sums_terms(operands: _Operands) -> bool:
  """Whether a sum of terms is faster than a matrix product, which needs a second pass for the mask.

  It is on CPUs, for narrow heads and some 50 steps, where a loop over chunks copies what it reads.
  Without that loop XLA would also fuse the transposition of queries and keys, and in long loops the
  slicing. Both cost more than the pass.
  """
  num_heads, num_keys, num_channels = operands.key.shape
  few = num_keys * operands.query.shape[2] <= _FEW_SCORES and num_channels <= _FEW_CHANNELS
  return _on_cpu() and few and _chunk_size(operands) < num_heads


def _scores(operands: _Operands, products: Callable[[Array, Array], Array] = _products) -> Array:
  """[B H, T_k, T_q], exponents of 2; `_LOWEST` where masked."""
  last_seen, key_rank = operands.mask
  visible = key_rank[:, :, None] <= last_seen[:, None, :]
  return jnp.where(visible, products(operands.key, operands.query), _LOWEST)


def _dropped(rate: float, operands: _Operands, weights: Array) -> Array:
  """Inverted dropout; the same keys drop the same weights again in the backward pass."""
  if not rate:
    return weights
  bits = jax.vmap(lambda key: jax.random.bits(key, weights.shape[1:]))(operands.dropout_keys)
  return jnp.where(bits >= jnp.uint32(rate * 2**32), weights / (1 - rate), 0)


def _in_chunks(function: Callable, operands: _Operands, *arrays: Array) -> Any:
  """Maps over equal chunks of heads, as many at a time as the budget of scores holds.

  On accelerators, hundreds of folds and trials are vmapped around this, and would multiply a
  chunk's scores. So the heads of all are joined before chunks are cut. On CPUs only a few are
  vmapped.
  """
  loop = functools.partial(_loop_over_chunks, function)
  if _on_cpu():
    return loop(operands, *arrays)
  loop = jax.custom_batching.custom_vmap(loop)

  @loop.def_vmap
  def joined(count: int, mapped: list, *args: Any):  # several vmaps join one after the other
    stacked = jax.tree.map(
      lambda x, has_axis: x if has_axis else jnp.broadcast_to(x, (count, *x.shape)),
      list(args),
      mapped,
    )
    results = _in_chunks(function, *jax.tree.map(_merged, stacked))
    results = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), results)
    return results, jax.tree.map(lambda _: True, results)

  return loop(operands, *arrays)


def _merged(x: Array) -> Array:
  """[n, B H, ...] -> [n B H, ...]."""
  return x.reshape(-1, *x.shape[2:])


def _loop_over_chunks(function: Callable, operands: _Operands, *arrays: Array) -> Any:
  size = _chunk_size(operands)
  if size == len(operands.key):
    return function(operands, *arrays)
  chunks = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), (operands, *arrays))
  results = lax.map(lambda chunk: function(*chunk), chunks)
  return jax.tree.map(_merged, results)


def _chunk_size(operands: _Operands) -> int:
  """How many heads are computed at a time."""
  num_heads, num_keys, _ = operands.key.shape
  head_bytes = 4 * num_keys * operands.query.shape[2]
  budget = _CHUNK_BYTES.get(jax.default_backend(), _ACCELERATOR_CHUNK_BYTES)
  most = max(1, min(num_heads, budget // head_bytes))
  return max(n for n in range(1, most + 1) if num_heads % n == 0)


def _on_cpu() -> bool:
  return jax.default_backend() in _CHUNK_BYTES
