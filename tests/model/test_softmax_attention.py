import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend import core as extend_core
from plain_attention import NUM_HEADS, dropped, kept, operands, ours, plain

from persona_jax.model import softmax_attention
from persona_jax.model.fast_prng import fast_key
from persona_jax.model.score_block import AttentionMask
from persona_jax.model.softmax_attention import attend


@pytest.fixture(params=[1, 4, 8], ids=['head by head', 'two clips', 'all clips'])
def chunk_bytes(request, monkeypatch):
  head_bytes = 4 * 16 * 11  # float32 scores of `operands()`, 9 queries filled up to 16
  monkeypatch.setitem(softmax_attention._CHUNK_BYTES, 'cpu', request.param * head_bytes)


def test_by_hand():
  query, key = jnp.ones((1, 1, 1)), jnp.log(jnp.array([1.0, 3.0, 100.0])).reshape(1, 3, 1)
  value = jnp.array([8.0, 4.0, 1e6]).reshape(1, 3, 1)
  mask = AttentionMask(jnp.array([[1]]), jnp.array([[0, 1, 2]]))
  np.testing.assert_allclose(
    attend(query, key, value, 1, mask), [[[0.25 * 8 + 0.75 * 4]]], rtol=1e-6
  )


@pytest.mark.parametrize('head_width', [1, 3, 16])
@pytest.mark.parametrize('num_queries, num_keys', [(9, 11), (1, 11), (9, 2)])
def test_is_softmax_attention(chunk_bytes, num_queries, num_keys, head_width):
  query, key, value, mask = operands(num_queries, num_keys, head_width)
  np.testing.assert_allclose(
    attend(query, key, value, NUM_HEADS, mask), plain(query, key, value, mask), rtol=1e-5, atol=1e-6
  )


def test_gradients_are_those_of_softmax_attention(chunk_bytes):
  *arrays, mask = operands()
  target = jnp.asarray(np.random.default_rng(1).normal(size=arrays[0].shape), jnp.float32)

  def loss(function, *arrays):
    return (function(*arrays, mask) * target).sum()

  got = jax.grad(functools.partial(loss, ours), (0, 1, 2))(*arrays)
  expected = jax.grad(functools.partial(loss, plain), (0, 1, 2))(*arrays)
  for mine, theirs in zip(got, expected, strict=True):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_large_scores_do_not_overflow():
  query, key, value, mask = operands()
  attended = attend(1e3 * query, 1e3 * key, value, NUM_HEADS, mask)
  np.testing.assert_allclose(
    attended, plain(1e3 * query, 1e3 * key, value, mask), rtol=1e-4, atol=1e-4
  )


def test_a_query_without_keys_gets_zeros_and_no_gradient():
  query, key, value, mask = operands()
  blind = mask._replace(last_seen=jnp.full_like(mask.last_seen, -1))
  np.testing.assert_array_equal(attend(query, key, value, NUM_HEADS, blind), jnp.zeros_like(query))
  gradients = jax.grad(lambda *arrays: attend(*arrays, NUM_HEADS, blind).sum(), (0, 1, 2))(
    query, key, value
  )
  for gradient in gradients:
    np.testing.assert_array_equal(gradient, jnp.zeros_like(gradient))


def test_dropout_drops_weights_and_the_gradient_drops_the_same(chunk_bytes):
  *arrays, mask = operands()
  keep = kept((4, 9, 2, 11))
  np.testing.assert_allclose(np.unique(np.round(keep, 4)), [0, round(1 / 0.6, 4)])
  assert 0.25 < (keep == 0).mean() < 0.55
  np.testing.assert_allclose(
    dropped(*arrays, mask), plain(*arrays, mask, keep), rtol=1e-5, atol=1e-6
  )
  got = jax.grad(lambda *a: (dropped(*a, mask) ** 2).sum(), (0, 1, 2))(*arrays)
  expected = jax.grad(lambda *a: (plain(*a, mask, keep) ** 2).sum(), (0, 1, 2))(*arrays)
  for mine, theirs in zip(got, expected, strict=True):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_same_under_vmap():
  query, key, value, mask = operands()
  batched = jax.vmap(lambda scale: attend(scale * query, key, value, NUM_HEADS, mask))(
    jnp.array([1.0, 2.0])
  )
  np.testing.assert_allclose(
    batched[1], attend(2 * query, key, value, NUM_HEADS, mask), rtol=1e-5, atol=1e-6
  )


@pytest.fixture(params=[1, 8, 48], ids=lambda heads: f'{heads} heads')
def most_heads(request, monkeypatch):
  """Chunks as on accelerators, of at most so many heads of `operands()`."""
  monkeypatch.delitem(softmax_attention._CHUNK_BYTES, 'cpu')
  monkeypatch.setattr(softmax_attention, '_ACCELERATOR_CHUNK_BYTES', request.param * 4 * 9 * 11)
  return request.param


def shapes_within(function, *arrays):
  """Of every array that `function` computes, inner functions included."""

  def shapes(jaxpr):
    for equation in jaxpr.eqns:
      yield from (variable.aval.shape for variable in equation.outvars)
      for inner in extend_core.jaxprs_in_params(equation.params):
        yield from shapes(inner)

  return list(shapes(jax.make_jaxpr(function)(*arrays).jaxpr))


def most_scores(function, *arrays) -> int:
  """Of how many heads, vmapped ones counted, `function` ever holds the scores [11, 9] at once."""
  shapes = shapes_within(function, *arrays)
  return max(math.prod(shape[:-2]) for shape in shapes if shape[-2:] == (11, 9))


@pytest.mark.cpus
@pytest.mark.parametrize('function', [ours, jax.grad(lambda *a: ours(*a).sum())])
def test_cpus_compute_whole_vectors_of_queries(function):
  of_scores = {
    shape[-2:] for shape in shapes_within(function, *operands()) if shape[-2:-1] == (11,)
  }
  assert (11, 16) in of_scores and (11, 9) not in of_scores


@pytest.mark.parametrize('part', ['forward', 'gradient'])
def test_what_is_vmapped_counts_in_a_chunk_of_accelerators(most_heads, part):
  """2 x 3 vmapped of 4 clips and 2 heads: 48 heads in all, in chunks of the most allowed."""
  query, key, value, mask = operands()

  def forward(scale, dropout):
    return attend(scale * query, key, value, NUM_HEADS, mask, 0.4, dropout)

  gradient = jax.grad(lambda scale, dropout: (forward(scale, dropout) ** 2).sum())
  function = dict(forward=forward, gradient=gradient)[part]
  scales = jnp.linspace(0.5, 1.5, 6).reshape(2, 3)
  dropouts = jax.random.split(fast_key(0), (2, 3))
  together = jax.vmap(jax.vmap(function))
  assert most_scores(together, scales, dropouts) == most_heads
  one = jax.jit(function)
  alone = [
    [one(*pair) for pair in zip(*row, strict=True)] for row in zip(scales, dropouts, strict=True)
  ]
  np.testing.assert_allclose(jax.jit(together)(scales, dropouts), alone, rtol=2e-5, atol=1e-6)
  few_at_a_time = jax.vmap(lambda *row: lax.map(lambda pair: function(*pair), row, batch_size=2))
  np.testing.assert_allclose(jax.jit(few_at_a_time)(scales, dropouts), alone, rtol=2e-5, atol=1e-6)
  if most_heads == 48:
    with jax.disable_jit():
      np.testing.assert_allclose(together(scales, dropouts), alone, rtol=2e-5, atol=1e-6)


def test_one_operand_vmapped_is_all_of_them(most_heads):
  query, key, value, mask = operands()
  queries = jnp.stack([query, 2 * query])
  together = jax.vmap(lambda query: attend(query, key, value, NUM_HEADS, mask))(queries)
  np.testing.assert_allclose(
    together,
    [plain(query, key, value, mask), plain(2 * query, key, value, mask)],
    rtol=1e-5,
    atol=1e-6,
  )
