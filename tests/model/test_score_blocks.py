import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_attention import NUM_HEADS, dropped, kept, operands, ours, plain

from persona_jax.model import attention, score_blocks, softmax_attention
from persona_jax.model.score_blocks import Blocks
from persona_jax.model.softmax_attention import attend

pytestmark = pytest.mark.cpus

LENGTHS = pytest.mark.parametrize('num_queries, num_keys', [(19, 30), (30, 19), (24, 24), (9, 30)])


@pytest.mark.parametrize(
  'lengths, blocks',
  [
    ((128, 128), (1, 1)),  # one block
    ((500, 500), (4, 4)),  # 1 + 2 + 3 + 4 blocks of 16 are seen
    ((375, 500), (3, 4)),  # the first queries see 2 of 4 blocks of keys, as 125 keys come before
    ((192, 192), (2, 2)),
    ((145, 145), (1, 1)),  # two blocks of 80 steps would be 160
    ((500, 375), (1, 1)),  # but 2 of 3 here, and the others see all
    ((500, 50), (1, 1)),
    ((50, 500), (1, 1)),
  ],
)
def test_sequences_are_cut_where_enough_is_skipped(lengths, blocks):
  assert Blocks.of(*lengths) == blocks


@pytest.fixture(params=[1, 8], ids=['head by head', 'all heads'])
def in_blocks(request, monkeypatch):
  """Blocks of at most 8 steps, whatever is skipped."""
  monkeypatch.setattr(score_blocks, '_STEPS', 8)
  monkeypatch.setattr(score_blocks, '_COST', 0)
  monkeypatch.setitem(softmax_attention._CHUNK_BYTES, 'cpu', request.param * 4 * 8 * 8)
  assert Blocks.of(19, 30) == (3, 4)


@LENGTHS
def test_is_softmax_attention(in_blocks, num_queries, num_keys):
  *arrays, mask = operands(num_queries, num_keys)
  np.testing.assert_allclose(ours(*arrays, mask), plain(*arrays, mask), rtol=1e-5, atol=1e-6)
  got = jax.grad(lambda *a: (ours(*a, mask) ** 2).sum(), (0, 1, 2))(*arrays)
  expected = jax.grad(lambda *a: (plain(*a, mask) ** 2).sum(), (0, 1, 2))(*arrays)
  for mine, theirs in zip(got, expected, strict=True):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@LENGTHS
def test_dropout_drops_weights_and_the_gradient_drops_the_same(in_blocks, num_queries, num_keys):
  *arrays, mask = operands(num_queries, num_keys)
  keep = kept((4, num_queries, 2, num_keys))
  assert 0.35 < (keep == 0).mean() < 0.45
  np.testing.assert_allclose(
    dropped(*arrays, mask), plain(*arrays, mask, keep), rtol=1e-5, atol=1e-6
  )
  got = jax.grad(lambda *a: (dropped(*a, mask) ** 2).sum(), (0, 1, 2))(*arrays)
  expected = jax.grad(lambda *a: (plain(*a, mask, keep) ** 2).sum(), (0, 1, 2))(*arrays)
  for mine, theirs in zip(got, expected, strict=True):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_large_scores_do_not_overflow(in_blocks):
  query, key, value, mask = operands(19, 30)
  attended = attend(1e3 * query, 1e3 * key, value, NUM_HEADS, mask)
  np.testing.assert_allclose(
    attended, plain(1e3 * query, 1e3 * key, value, mask), rtol=1e-4, atol=1e-4
  )


def test_a_query_without_keys_gets_zeros_and_no_gradient(in_blocks):
  query, key, value, mask = operands(19, 30)
  blind = mask._replace(last_seen=jnp.full_like(mask.last_seen, -1))
  np.testing.assert_array_equal(ours(query, key, value, blind), jnp.zeros_like(query))
  for gradient in jax.grad(lambda *a: ours(*a, blind).sum(), (0, 1, 2))(query, key, value):
    np.testing.assert_array_equal(gradient, jnp.zeros_like(gradient))


def test_same_under_vmap(in_blocks):
  *arrays, mask = operands(19, 30)
  last_seen = jnp.stack([mask.last_seen, mask.last_seen // 4])  # which see other blocks

  def gradient(last_seen):
    seen = mask._replace(last_seen=last_seen)
    return jax.grad(lambda *a: (ours(*a, seen) ** 2).sum(), (0, 1, 2))(*arrays)

  together = jax.vmap(gradient)(last_seen)
  for i in range(2):
    for mine, theirs in zip(together, gradient(last_seen[i]), strict=True):
      np.testing.assert_allclose(mine[i], theirs, rtol=1e-4, atol=1e-5)


def test_blocks_that_no_query_sees_are_not_computed(in_blocks):
  """Of clips of 30 steps whose first 10 are padding, NaN in skipped blocks of keys reaches nobody.

  A key that is masked but computed has a weight of 0, which would make NaN of NaN.
  """
  query, key, value, _ = operands(30, 30)
  valid = jnp.tile(jnp.arange(30) >= 10, (len(query), 1))
  mask = attention.causal_mask(valid, valid)
  spoilt = value.at[:, :8].set(jnp.nan).at[:, 24:].set(jnp.nan)

  attended, gradients = jax.vjp(lambda *arrays: ours(*arrays, mask), query, key, spoilt)
  np.testing.assert_allclose(
    attended[:, 10:24], plain(query, key, value, mask)[:, 10:24], rtol=1e-5, atol=1e-6
  )
  assert jnp.isnan(attended[:, 24:]).all()
  query_gradient, *_ = gradients(jnp.ones_like(attended).at[:, 24:].set(0))
  assert jnp.isfinite(query_gradient[:, :24]).all()
