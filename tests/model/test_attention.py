import jax
import jax.numpy as jnp
import numpy as np

from persona_jax.model import attention, softmax_attention
from persona_jax.model.encoder import CrossmodalEncoder, DropoutRates
from persona_jax.model.score_block import AttentionMask


def pairs(mask: AttentionMask) -> np.ndarray:
  """[B, T_q, T_k] bool."""
  return np.asarray(mask.key_rank)[:, None, :] <= np.asarray(mask.last_seen)[:, :, None]


def test_more_keys_than_queries_see_offset_diagonal():
  mask = pairs(attention.causal_mask(jnp.ones((1, 3), bool), jnp.ones((1, 5), bool)))
  np.testing.assert_array_equal(mask[0], [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])


def test_more_queries_than_keys_see_offset_diagonal():
  mask = pairs(attention.causal_mask(jnp.ones((1, 3), bool), jnp.ones((1, 2), bool)))
  np.testing.assert_array_equal(mask[0], [[1, 1], [1, 1], [1, 1]])
  mask = pairs(attention.causal_mask(jnp.ones((1, 3), bool), jnp.ones((1, 3), bool)))
  np.testing.assert_array_equal(mask[0], np.tril(np.ones((3, 3))))


def test_padding_is_skipped_in_the_count():
  query = jnp.array([[True, False, True]])  # a frame, padding, the token
  key = jnp.array([[True, True, False, True]])
  np.testing.assert_array_equal(attention.ranks(query)[0], [0, 0, 1])
  np.testing.assert_array_equal(
    pairs(attention.causal_mask(query, key))[0, [0, 2]], [[1, 1, 0, 0], [1, 1, 0, 1]]
  )


def test_sinusoids_have_sines_then_cosines():
  waves = attention.sinusoids(jnp.array([0, 1]), 5)
  # width 5: rates 1 and 1/10000, and a zero to fill.
  expected = [[0, 0, 1, 1, 0], [np.sin(1), np.sin(1e-4), np.cos(1), np.cos(1e-4), 0]]
  np.testing.assert_allclose(waves, expected, atol=1e-6)


def test_the_weights_that_are_shown_are_those_that_are_used():
  """Mixing values whose heads all are one-hot in time gives the weights back, head by head."""
  random, num_heads, steps = np.random.default_rng(0), 2, (3, 4)
  query = jnp.asarray(random.normal(size=(2, steps[0], 8)), jnp.float32)
  key = jnp.asarray(random.normal(size=(2, steps[1], 8)), jnp.float32)
  mask = attention.causal_mask(
    jnp.ones((2, 3), bool), jnp.array([[True] * 4, [True, True, False, False]])
  )
  one_hot = jnp.tile(jnp.eye(4), (2, 1, num_heads))
  used = softmax_attention.attend(query, key, one_hot, num_heads, mask)
  shown = softmax_attention.mean_weights(query, key, num_heads, mask)
  np.testing.assert_allclose(shown, used.reshape(2, 3, num_heads, 4).mean(axis=2), atol=1e-6)
  assert (shown[1, :, 2:] == 0).all()


def test_ranks_are_compared_in_every_layer():
  """No [B H, T_k, T_q] of what was compared before is carried around the loop over layers."""
  encoder = CrossmodalEncoder(2, 2, DropoutRates(0.0, 0.0, 0.0, 0.0))
  target, source = np.ones((3, 5, 8), np.float32), np.ones((3, 7, 8), np.float32)
  masks = np.ones((3, 5), bool), np.ones((3, 7), bool)
  variables = encoder.init(jax.random.key(0), target, source, *masks, False)
  program = jax.jit(lambda *masks: encoder.apply(variables, target, source, *masks, False))
  loops = [
    line for line in program.lower(*masks).compile().as_text().splitlines() if ' while(' in line
  ]
  assert loops and not any('pred[6,7,5]' in line for line in loops)
