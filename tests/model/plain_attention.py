"""Attention written out, to compare with, and what it is compared on."""

import jax
import jax.numpy as jnp
import numpy as np

from persona_jax.model.fast_prng import fast_key
from persona_jax.model.score_block import AttentionMask
from persona_jax.model.softmax_attention import attend

NUM_HEADS = 2


def plain(query, key, value, mask, keep=1.0):
  """Attention written out over the whole batch; `keep` multiplies the weights [B, H, T_q, T_k]."""
  shape = query.shape
  query, key, value = (x.reshape(*x.shape[:2], NUM_HEADS, -1) for x in (query, key, value))
  visible = (mask.key_rank[:, None, :] <= mask.last_seen[:, :, None])[:, None]
  scores = jnp.where(
    visible, jnp.einsum('bqhd,bkhd->bhqk', query, key) * key.shape[3] ** -0.5, -jnp.inf
  )
  weights = jnp.where(visible.any(-1, keepdims=True), jax.nn.softmax(scores), 0)
  return jnp.einsum('bhqk,bkhd->bqhd', weights * keep, value).reshape(shape)


def ours(query, key, value, mask):
  return attend(query, key, value, NUM_HEADS, mask)


def operands(num_queries=9, num_keys=11, head_width=3, num_clips=4):
  random = np.random.default_rng(0)

  def draw(length):
    return jnp.asarray(random.normal(size=(num_clips, length, NUM_HEADS * head_width)), jnp.float32)

  last_seen = random.integers(0, num_keys, (num_clips, num_queries))
  last_seen[0, 0] = -1  # a query that sees nothing
  key_rank = np.stack([random.permutation(num_keys) for _ in range(num_clips)])
  return (
    draw(num_queries),
    draw(num_keys),
    draw(num_keys),
    AttentionMask(jnp.asarray(last_seen), jnp.asarray(key_rank)),
  )


def dropped(query, key, value, mask):
  return attend(query, key, value, NUM_HEADS, mask, 0.4, fast_key(3))


def kept(shape, rate=0.4):
  """1 / (1 - rate) where `dropped` keeps a weight, else 0: [B, H, T_q, T_k]."""
  num_clips, num_queries, num_heads, num_keys = shape
  keys = jax.random.split(fast_key(3), (num_clips, num_heads))
  draw = jax.vmap(jax.vmap(lambda key: jax.random.bits(key, (num_keys, num_queries))))
  return (draw(keys).swapaxes(2, 3) >= jnp.uint32(rate * 2**32)) / (1 - rate)
