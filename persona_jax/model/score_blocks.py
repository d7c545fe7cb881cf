"""Attention in blocks of queries and keys, of which those are skipped that no query sees.

Of a causal mask about half of all scores are masked. A query's softmax is brought up to date with
each block of keys (Dao et al. 2022, FlashAttention, algorithm 1, https://arxiv.org/abs/2205.14135).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from persona_jax.model import score_block
from persona_jax.model.score_block import AttentionMask, Dropout, Operands, Softmax
from persona_jax.types import Array

LANES = 8  # float32 numbers in a vector of AVX2; a block's steps are a multiple
_STEPS = 128  # in a block, at most
_COST = 1.2  # of a score in blocks, where one that is computed without blocks costs 1


class Blocks(NamedTuple):
  """Into how many equal parts queries and keys are cut."""

  num_query_blocks: int = 1
  num_key_blocks: int = 1

  @property
  def number(self) -> int:
    return self.num_query_blocks * self.num_key_blocks

  @classmethod
  def of(cls, num_queries: int, num_keys: int) -> 'Blocks':
    """Those that save time under the causal mask of clips that last for all steps."""
    blocks = cls(math.ceil(num_queries / _STEPS), math.ceil(num_keys / _STEPS))
    query_steps = LANES * math.ceil(num_queries / (LANES * blocks.num_query_blocks))
    key_steps = LANES * math.ceil(num_keys / (LANES * blocks.num_key_blocks))
    offset = abs(num_keys - num_queries)  # that of `attention.causal_mask`
    num_seen = sum(
      min(blocks.num_key_blocks, math.ceil(((i + 1) * query_steps + offset) / key_steps))
      for i in range(blocks.num_query_blocks)
    )
    saves = _COST * num_seen * query_steps * key_steps < num_queries * num_keys
    return blocks if saves else cls()


def attend(
  dropout: Dropout, blocks: Blocks, operands: Operands, value: Array
) -> tuple[Array, Array]:
  """`score_block.results`; the value is [n, C, T_k]."""
  cut = _cut(blocks, operands)
  values = _cut_last(value, blocks.num_key_blocks)
  first, end = _seen(cut.mask)

  def of_queries(i: Array) -> tuple[Array, Array]:
    def add(j: Array, softmax: Softmax) -> Softmax:
      part, block = _dropout(dropout, cut, i, j), _block(cut, i, j)
      after = score_block.of_keys(part, block, values[j], score_block.products, softmax.peak)
      return score_block.joined(softmax, after)

    none = score_block.of_no_key(operands, cut.query.shape[-1])
    return score_block.results(lax.fori_loop(first[i], end[i], add, none))

  return jax.tree.map(_joined_last, lax.map(of_queries, jnp.arange(blocks.num_query_blocks)))


def gradients(
  dropout: Dropout, blocks: Blocks, operands: Operands, key: Array, *of_queries: Array
) -> tuple[Array, Array, Array]:
  """`score_block.gradients`; the key is [n, C, T_k]."""
  cut = _cut(blocks, operands)
  keys = _cut_last(key, blocks.num_key_blocks)
  of_queries = tuple(_cut_last(array, blocks.num_query_blocks) for array in of_queries)
  first, end = _seen(cut.mask)

  def of_query_block(of_keys: tuple[Array, Array], i: Array):
    def add(j: Array, totals: tuple[jax.Array, ...]) -> tuple[Array, ...]:
      query, key, value = score_block.gradients(
        _dropout(dropout, cut, i, j),
        _block(cut, i, j),
        keys[j],
        *(array[i] for array in of_queries),
      )
      return totals[0] + query, totals[1].at[j].add(key), totals[2].at[j].add(value)

    query, key, value = lax.fori_loop(
      first[i], end[i], add, (jnp.zeros_like(cut.query[0]), *of_keys)
    )
    return (key, value), query

  zeros = jnp.zeros_like(cut.key), jnp.zeros_like(cut.value)
  of_keys, query = lax.scan(of_query_block, zeros, jnp.arange(blocks.num_query_blocks))
  key, value = (array.swapaxes(0, 1).reshape(operands.key.shape) for array in of_keys)
  return _joined_last(query), key, value


def _cut(blocks: Blocks, operands: Operands) -> Operands:
  """Blocks on a leading axis, of queries or of keys."""

  def rows(array: Array) -> Array:
    return array.reshape(len(array), blocks.num_key_blocks, -1, array.shape[2]).swapaxes(0, 1)

  mask = AttentionMask(
    _cut_last(operands.mask.last_seen, blocks.num_query_blocks),
    _cut_last(operands.mask.key_rank, blocks.num_key_blocks),
  )
  query = _cut_last(operands.query, blocks.num_query_blocks)
  return Operands(query, rows(operands.key), rows(operands.value), mask, operands.dropout_words)


def _cut_last(array: Array, count: int) -> Array:
  """[..., T] -> [count, ..., T / count]."""
  return jnp.moveaxis(array.reshape(*array.shape[:-1], count, -1), -2, 0)


def _joined_last(cut: Array) -> Array:
  """[count, ..., T / count] -> [..., T]."""
  by_block = jnp.moveaxis(cut, 0, -2)
  return by_block.reshape(*by_block.shape[:-2], -1)


def _block(cut: Operands, i: Array, j: Array) -> Operands:
  """The i-th block of queries with the j-th of keys."""
  mask = AttentionMask(cut.mask.last_seen[i], cut.mask.key_rank[j])
  return Operands(cut.query[i], cut.key[j], cut.value[j], mask, cut.dropout_words)


def _dropout(dropout: Dropout, cut: Operands, i: Array, j: Array) -> Dropout:
  """Of that block."""
  num_queries, num_keys = cut.query.shape[-1], cut.key.shape[2]
  return dropout._replace(first=j * num_keys * dropout.num_queries + i * num_queries)


def _seen(mask: AttentionMask) -> tuple[Array, Array]:
  """For each block of queries: the first block of keys that it sees, and the one past the last."""
  lowest, latest = mask.key_rank.min(axis=(1, 2)), mask.last_seen.max(axis=(1, 2))
  seen = lowest[None, :] <= latest[:, None]
  end = seen.shape[1] - seen[:, ::-1].argmax(axis=1)
  return seen.argmax(axis=1), jnp.where(seen.any(axis=1), end, 0)
