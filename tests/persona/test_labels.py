"""The label part: by hand, by brute force, and recovered from simulated people."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from people import BASE, PRIOR, labels_of

from persona_jax.errors import UserError
from persona_jax.persona import labels
from persona_jax.persona.labels import GRID, LabelPrior, Labels

log_density = jax.jit(labels.log_density)


def mean(log_density):
  return float(np.exp(log_density) @ GRID)


def places(own):
  """The indices of each person's clips in the flattened `own` [num_people, num_clips]."""
  return list(np.arange(own.size).reshape(own.shape))


def test_evidence_by_hand():
  assert labels.observe(jnp.array([2.0, -0.5, 3.0]), jnp.array([1.0, 1.0, 0.0])) == Labels(2.0, 1.5)


def test_densities_sum_to_one():
  for seen in (labels.no_labels(), Labels(5.0, 12.0), Labels(500.0, -1500.0)):
    assert np.exp(log_density(PRIOR.label, seen)).sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize('own', [[], [2.0], [-3.0, -2.0, -2.0, 0.5]])
def test_density_is_that_of_brute_force(own):
  theta = np.linspace(-3, 3, 4001)
  tilted = BASE * np.exp(theta[:, None] * GRID)
  tilted /= tilted.sum(axis=1, keepdims=True)
  belief = np.exp(-0.5 * (theta / 0.4) ** 2)
  for label in own:
    belief = belief * tilted[:, np.abs(GRID - label).argmin()]
  expected = belief / belief.sum() @ tilted
  found = log_density(PRIOR.label, labels.observe(np.float32(own), np.ones(len(own), np.float32)))
  np.testing.assert_allclose(np.exp(found), expected, atol=1e-5)


def test_two_labels_by_hand():
  """With a base on -1 and 1 only, y is Bernoulli and theta has tanh(theta) = mean of the labels."""
  base = np.where(np.isclose(np.abs(GRID), 1), 0.5, 1e-12)
  prior = LabelPrior(np.log(base).astype(np.float32), np.float32(1.0))
  many = log_density(prior, Labels(4000.0, 2000.0))
  assert mean(many) == pytest.approx(0.5, abs=0.02)
  assert mean(log_density(prior, labels.no_labels())) == pytest.approx(0, abs=1e-5)


def test_prior_is_recovered():
  """h up to the smoothing, and the deviation within a tenth."""
  own = labels_of(np.random.default_rng(0), 1500, 25)
  found = labels.fit_labels(own.reshape(-1), places(own))
  assert found.deviation == pytest.approx(0.4, rel=0.1)
  np.testing.assert_allclose(np.exp(found.log_base), BASE, atol=0.004)
  pooled = np.exp(log_density(found, labels.no_labels()))
  assert pooled @ GRID**2 == pytest.approx(np.mean(own**2), rel=0.1)


def test_people_who_do_not_differ():
  own = labels_of(np.random.default_rng(0), 300, 25, PRIOR.label._replace(deviation=0.0))
  found = labels.fit_labels(own.reshape(-1), places(own))
  assert found.deviation < 0.1


def test_labels_of_other_speakers_are_not_used():
  own = labels_of(np.random.default_rng(0), 50, 10)
  counted = places(own[:40])
  found, alone = (labels.fit_labels(part.reshape(-1), counted) for part in (own, own[:40]))
  for one, other in zip(found, alone, strict=True):
    np.testing.assert_array_equal(one, other)


def test_labels_that_are_not_finite_are_refused():
  with pytest.raises(UserError, match='not finite'):
    labels.fit_labels(np.array([1.0, np.nan]), [np.arange(2)])


def test_gradients_are_finite_in_float32():
  jacobian = jax.jit(jax.jacobian(labels.log_density, (0, 1)))
  for seen in (Labels(0.0, 0.0), Labels(5000.0, 15000.0), Labels(5000.0, -15000.0)):
    slopes = jacobian(PRIOR.label, seen)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
