"""Softmax attention that never holds the scores of a whole batch.

MulT's heads are 3 to 6 channels wide, so attention is bound by memory traffic: at 500 x 500 steps,
10 heads and 24 clips the scores alone are 240 MB, written and read several times per layer. Here a
few heads at a time are computed from start to end while their scores are in the cache. The backward
pass recomputes the scores from the logarithm of each query's softmax normaliser (Dao et al. 2022,
FlashAttention, https://arxiv.org/abs/2205.14135). On CPUs, long sequences are cut into blocks as
well, and blocks in which no query sees a key are skipped.

cuDNN's fused attention (`jax.nn.dot_product_attention`) takes half precision and head widths that
are multiples of 8 only, so accelerators run this as well, with larger chunks.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from persona_jax.model import fast_prng, products, score_block, score_blocks
from persona_jax.model.score_block import LOG2_E, AttentionMask, Dropout, Operands
from persona_jax.model.score_blocks import LANES, Blocks
from persona_jax.types import Array

SAVED = 'attended'  # the checkpoint name of what the backward pass needs; see `encoder._scanned`
_LOWEST_RANK, _HIGHEST_RANK = -(2**31), 2**31 - 1  # of padding: see `_padded`
_FEW_SCORES, _FEW_CHANNELS = 2**12, 8  # of a head; see `_sums_terms`
_CHUNK_BYTES = {'cpu': 2**21}  # of scores: about a core's own cache
_ACCELERATOR_CHUNK_BYTES = 2**30


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
  blocks = Blocks.of(num_queries, key.shape[1]) if _on_cpu() else Blocks()
  if _on_cpu():
    query, key, value, mask = _padded(blocks, query, key, value, mask)

  def columns(array: Array) -> Array:
    return array.swapaxes(1, 2).reshape(-1, head_width, array.shape[1])

  def rows(array: Array) -> Array:
    by_head = array.reshape(*array.shape[:2], num_heads, head_width).swapaxes(1, 2)
    return by_head.reshape(-1, array.shape[1], head_width)

  operands = Operands(
    columns(query * (LOG2_E * head_width**-0.5)),
    rows(key),
    rows(value),
    jax.tree.map(lambda ranks: jnp.repeat(ranks, num_heads, axis=0), mask),
    dropout_words=None,
  )
  if dropout_rate:
    assert dropout_key is not None, 'dropout needs a key'
    keys = jax.random.split(dropout_key, num_clips * num_heads)
    operands = operands._replace(dropout_words=fast_prng.words(keys))
  how = _How(products.precision(), Dropout(dropout_rate, num_queries), blocks)
  attended = cast(jax.Array, _attend(how, operands))
  return attended.reshape(num_clips, width, -1)[:, :, :num_queries].swapaxes(1, 2)


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


class _How(NamedTuple):
  """What the forward and the backward pass have in common.

  Attributes:
    precision: of their matrix products, that of the caller of `attend`.
    dropout, blocks: of the scores.
  """

  precision: str | None
  dropout: Dropout
  blocks: Blocks


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(how: _How, operands: Operands) -> Array:
  """[B H, C, T_q]."""
  return _forward(how, operands)[0]


def _forward(how: _How, operands: Operands):
  attended, log_normaliser = _in_chunks(
    functools.partial(_attend_chunk, how, _sums_terms(how.blocks, operands)),
    how.blocks,
    operands,
    _transposed(operands.value, operands.query),
  )
  attended = checkpoint_name(attended, SAVED)
  return attended, (operands, attended, checkpoint_name(log_normaliser, SAVED))


def _backward(how: _How, residuals, gradient: Array):
  operands, attended, log_normaliser = residuals
  query, key, value = _in_chunks(
    functools.partial(_gradient_chunk, how),
    how.blocks,
    operands,
    _transposed(operands.key, operands.query),
    log_normaliser,
    gradient,
    (gradient * attended).sum(axis=1),
  )
  # Ranks and keys are integers, which have no gradient.
  return (operands._replace(query=query, key=key, value=value, mask=None, dropout_words=None),)


_attend.defvjp(_forward, _backward)


def _transposed(array: Array, query: Array) -> Array:
  """[n, T_k, C] -> [n, C, T_k], a copy where it is the left factor of a product of some size.

  XLA has no fast kernel on CPUs for a product that reads its left factor across.
  """
  transposed = array.swapaxes(1, 2)
  small = min(array.shape[1], query.shape[2]) < score_block.FEW
  return lax.optimization_barrier(transposed) if _on_cpu() and not small else transposed


def _attend_chunk(
  how: _How, sums_terms: bool, operands: Operands, value: Array
) -> tuple[Array, Array]:
  """`score_block.results` of a chunk of heads; the value is [n, C, T_k]."""
  precision, dropout, blocks = how
  with jax.default_matmul_precision(precision):
    if blocks.number > 1:
      return score_blocks.attend(dropout, blocks, operands, value)
    multiply = score_block.sum_of_terms if sums_terms else score_block.products
    return score_block.results(score_block.of_keys(dropout, operands, value, multiply))


def _gradient_chunk(
  how: _How, operands: Operands, key: Array, *of_queries: Array
) -> tuple[Array, Array, Array]:
  """`score_block.gradients` of a chunk of heads; the key is [n, C, T_k]."""
  precision, dropout, blocks = how
  with jax.default_matmul_precision(precision):
    if blocks.number > 1:
      return score_blocks.gradients(dropout, blocks, operands, key, *of_queries)
    return score_block.gradients(dropout, operands, key, *of_queries)


def _padded(
  blocks: Blocks, query: Array, key: Array, value: Array, mask: AttentionMask
) -> tuple[Array, Array, Array, AttentionMask]:
  """Adds queries that see no key, and keys that no query sees, so that blocks are of whole vectors.

  Loops run along queries, and would compute the rest of a vector one by one.
  """

  def pad(array: Array, num_blocks: int, filling: float = 0) -> Array:
    num_steps = array.shape[1]
    extra = -num_steps % (num_blocks * LANES) if num_steps >= LANES else 0
    widths = [(0, 0), (0, extra)] + [(0, 0)] * (array.ndim - 2)
    return jnp.pad(array, widths, constant_values=filling)

  last_seen = pad(mask.last_seen, blocks.num_query_blocks, _LOWEST_RANK)
  mask = mask._replace(last_seen=last_seen)
  query = pad(query, blocks.num_query_blocks)
  if blocks.number > 1:
    key, value = (pad(array, blocks.num_key_blocks) for array in (key, value))
    mask = mask._replace(key_rank=pad(mask.key_rank, blocks.num_key_blocks, _HIGHEST_RANK))
  return query, key, value, mask


def _sums_terms(blocks: Blocks, operands: Operands) -> bool:
  """Whether a sum of terms is faster than a matrix product, which needs a second pass for the mask.

  It is on CPUs, for narrow heads and some 50 steps, where a loop over chunks copies what it reads.
  Without that loop XLA would also fuse the transposition of queries and keys, and in long loops the
  slicing. Both cost more than the pass.
  """
  num_heads, num_keys, num_channels = operands.key.shape
  few = num_keys * operands.query.shape[2] <= _FEW_SCORES and num_channels <= _FEW_CHANNELS
  return _on_cpu() and few and _chunk_size(blocks, operands) < num_heads


def _in_chunks(function: Callable, blocks: Blocks, operands: Operands, *arrays: Array) -> Any:
  """Maps over equal chunks of heads, as many at a time as the budget of scores holds.

  On accelerators, hundreds of folds and trials are vmapped around this, and would multiply a
  chunk's scores. So the heads of all are joined before chunks are cut. On CPUs only a few are
  vmapped.
  """
  loop = functools.partial(_loop_over_chunks, function, blocks)
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
    results = _in_chunks(function, blocks, *jax.tree.map(_merged, stacked))
    results = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), results)
    return results, jax.tree.map(lambda _: True, results)

  return loop(operands, *arrays)


def _merged(x: Array) -> Array:
  """[n, B H, ...] -> [n B H, ...]."""
  return x.reshape(-1, *x.shape[2:])


def _loop_over_chunks(
  function: Callable, blocks: Blocks, operands: Operands, *arrays: Array
) -> Any:
  size = _chunk_size(blocks, operands)
  if size == len(operands.key):
    return function(operands, *arrays)
  chunks = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), (operands, *arrays))
  results = lax.map(lambda chunk: function(*chunk), chunks)
  return jax.tree.map(_merged, results)


def _chunk_size(blocks: Blocks, operands: Operands) -> int:
  """How many heads are computed at a time."""
  num_heads, num_keys, _ = operands.key.shape
  block_bytes = 4 * num_keys * operands.query.shape[2] // blocks.number
  budget = _CHUNK_BYTES.get(jax.default_backend(), _ACCELERATOR_CHUNK_BYTES)
  most = max(1, min(num_heads, budget // block_bytes))
  return max(n for n in range(1, most + 1) if num_heads % n == 0)


def _on_cpu() -> bool:
  return jax.default_backend() in _CHUNK_BYTES
