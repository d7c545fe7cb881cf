"""Random effects: by hand, against the full Gaussian, and with clips in any order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_jax.persona import effects
from persona_jax.persona.effects import Effects

NUMBERS = st.floats(-3, 3, width=32)
CLIPS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=12)
FEW = settings(deadline=None, max_examples=30)
EFFECTS = Effects(np.float32([0.1, 0.6, 0.0]), np.float32([0.12, 0.04, 0.01]), np.float32(0.9))


@jax.jit
def padded_evidence(clips, weights):
  features = jnp.stack([jnp.ones_like(weights), clips[:, 0], clips[:, 1]], axis=1)
  return effects.evidence(features, clips[:, 2], weights)


def seen(clips):
  """Evidence of (feature, feature, target) clips, padded so that one program serves all of them."""
  padded = np.zeros((32, 3), np.float32)
  padded[: len(clips)] = clips
  return padded_evidence(padded, np.float32(np.arange(32) < len(clips)))


evidence_of = jax.jit(effects.evidence)
log_marginal = jax.jit(effects.log_marginal)
posterior_of = jax.jit(effects.posterior)


def posterior(evidence):
  return posterior_of(EFFECTS, evidence)


def assert_alike(first, second, tolerance=2e-5):
  for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@given(st.integers(1, 24), st.integers(0, 2**31))
@FEW
def test_the_inverse_of_a_positive_definite_matrix(size, seed):
  random = np.random.default_rng(seed)
  factor = random.normal(size=(size, 2 * size)).astype(np.float32)
  matrix = np.eye(size, dtype=np.float32) + factor @ factor.T
  inverse, log_determinant = effects._inverse(matrix)
  np.testing.assert_allclose(inverse, np.linalg.inv(matrix.astype(float)), atol=2e-5)
  np.testing.assert_allclose(log_determinant, np.linalg.slogdet(matrix)[1], rtol=1e-4, atol=1e-4)


def test_batched_posteriors_wait_for_no_other_thread():
  """jaxlib's kernels for batches of LAPACK calls can wait for each other on two cores."""
  seen_by_many = jax.tree.map(lambda x: jnp.stack([x] * 20), effects.no_evidence(3))
  for function in (effects.posterior, effects.log_marginal):
    program = jax.jit(jax.vmap(lambda seen: function(EFFECTS, seen))).lower(seen_by_many)  # noqa: B023
    assert 'lapack' not in program.as_text()


def test_one_coefficient_by_hand():
  """Prior mean 0 and variance 1, noise 2, targets 1, 2 and 6.

  The posterior mean is 9 / (3 + 2 / 1) and its variance 2 / (3 + 2 / 1).
  """
  model = Effects(np.zeros(1), np.ones(1), np.array(2.0))
  found = posterior_of(model, evidence_of(np.ones((3, 1)), np.array([1.0, 2, 6]), np.ones(3)))
  assert found.mean == pytest.approx(9 / 5)
  assert found.covariance == pytest.approx(2 / 5)


def test_two_coefficients_by_hand():
  """At y = -1 and 1 the features of offset and gain are orthogonal.

  The targets deviate from the prior mean by -1 and 2, so the sums are 1 for the offset and 3 for
  the gain. The precisions 1 / variance + 2 / noise are 2 + 2 and 1 + 2.
  """
  model = Effects(np.array([5.0, 1.0]), np.array([0.5, 1.0]), np.array(1.0))
  found = posterior_of(
    model,
    evidence_of(np.array([[1.0, -1], [1, 1]]), np.array([5.0 - 1 - 1, 5 + 1 + 2]), np.ones(2)),
  )
  np.testing.assert_allclose(found.mean, [5 + 1 / 4, 1 + 3 / 3], rtol=1e-6)
  np.testing.assert_allclose(found.covariance, np.diag([1 / 4, 1 / 3]), rtol=1e-6, atol=1e-7)


def test_without_evidence_the_posterior_is_the_prior():
  found = posterior(effects.no_evidence(3))
  assert_alike(found, (EFFECTS.mean, np.diag(EFFECTS.variance)))
  assert log_marginal(EFFECTS, effects.no_evidence(3)) == 0


def test_likelihood_is_that_of_the_full_gaussian():
  random = np.random.default_rng(0)
  clips = random.normal(size=(7, 3)).astype(np.float32)
  features = np.stack([np.ones(7), clips[:, 0], clips[:, 1]], axis=1)
  covariance = EFFECTS.noise * np.eye(7) + features * EFFECTS.variance @ features.T
  residual = clips[:, 2] - features @ EFFECTS.mean
  expected = -0.5 * (
    np.linalg.slogdet(2 * np.pi * covariance)[1] + residual @ np.linalg.solve(covariance, residual)
  )
  assert log_marginal(EFFECTS, seen(clips)) == pytest.approx(expected, rel=1e-5)


def test_a_coefficient_of_zero_variance_keeps_its_mean():
  model = EFFECTS._replace(variance=np.float32([0.12, 0.0, 0.01]))
  found = posterior_of(model, seen(np.random.default_rng(1).normal(size=(30, 3))))
  assert found.mean[1] == pytest.approx(0.6)
  assert found.covariance[1, 1] == pytest.approx(0, abs=1e-9)
  assert np.isfinite(log_marginal(model, seen([[1, 2, 3]])))


@FEW
@given(CLIPS, st.randoms(use_true_random=False))
def test_order_does_not_matter(clips, random):
  shuffled = random.sample(clips, len(clips))
  assert_alike(posterior(seen(clips)), posterior(seen(shuffled)))


@FEW
@given(CLIPS, CLIPS)
def test_halves_add_up_to_the_whole(first, second):
  added = effects.add(seen(first), seen(second))
  assert_alike(posterior(added), posterior(seen(first + second)))
  one_at_a_time = effects.no_evidence(3)
  for clip in first + second:
    one_at_a_time = effects.add(one_at_a_time, seen([clip]))
  assert_alike(posterior(added), posterior(one_at_a_time))


@FEW
@given(CLIPS, CLIPS)
def test_removing_undoes_adding(kept, removed):
  left = effects.remove(effects.add(seen(kept), seen(removed)), seen(removed))
  assert_alike(posterior(left), posterior(seen(kept)))


def test_padding_is_ignored():
  random = np.random.default_rng(2)
  features, targets = random.normal(size=(5, 3)), random.normal(size=5)
  padded = effects.evidence(features, targets, np.array([1, 1, 1, 0, 0]))
  assert_alike(padded, effects.evidence(features[:3], targets[:3], np.ones(3)))


def test_gradients_are_finite_in_float32():
  value_and_grad = jax.jit(jax.value_and_grad(effects.log_marginal))
  many = jax.tree.map(lambda x: 1000 * x, seen([[3, 3, -3], [-3, 3, 3], [0, 0, 0]]))
  for variance in (0.0, 1e-12, 1.0, 1e6):
    value, slope = value_and_grad(EFFECTS._replace(variance=np.full(3, variance, 'f4')), many)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((value, slope)))
