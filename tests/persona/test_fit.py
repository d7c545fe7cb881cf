"""Hyper-parameters recovered from simulated speakers, and the fit's limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from persona_jax.errors import UserError
from persona_jax.persona import effects, fit
from persona_jax.persona.effects import Effects

TRUE = Effects(np.array([0.1, 0.6]), np.array([0.12, 0.04]), np.array(0.96))
START = Effects(np.array([0.0, 0.5]), np.array([0.3, 0.1]), np.array(2.0))


def simulated(num_speakers, num_clips=25, seed=0):
  """Simulates features (1, y), targets f, and speakers."""
  random = np.random.default_rng(seed)
  speakers = np.repeat(np.arange(num_speakers), num_clips)
  features = np.stack([np.ones(len(speakers)), random.normal(0, 1.5, len(speakers))], axis=1)
  own = random.normal(TRUE.mean, TRUE.variance**0.5, (num_speakers, 2))
  targets = (features * own[speakers]).sum(axis=1) + random.normal(
    0, TRUE.noise**0.5, len(speakers)
  )
  return features, targets, speakers


def fitted(features, targets, speakers, **kwargs):
  return fit.fit(
    features, targets, fit.enough_speakers(speakers, 'validation'), START, (0, 1), **kwargs
  )


def test_hyper_parameters_are_recovered_from_many_speakers():
  found = fitted(*simulated(400))
  np.testing.assert_allclose(found.mean, TRUE.mean, atol=0.05)
  np.testing.assert_allclose(found.variance, TRUE.variance, rtol=0.2)
  assert found.noise == pytest.approx(TRUE.noise, rel=0.05)


def test_the_fit_is_an_optimum():
  """By the gradient of the likelihood in JAX, with the weak priors written out."""
  features, targets, speakers = simulated(12, num_clips=25)
  found = fitted(features, targets, speakers)
  seen = jax.jit(jax.vmap(effects.evidence))(
    features.reshape(12, 25, 2), targets.reshape(12, 25), np.ones((12, 25))
  )

  @jax.jit
  @jax.grad
  def slope(point):
    model = Effects(point[:2], jnp.exp(point[2:4]), jnp.exp(point[4]))
    start = jnp.concatenate([START.mean, jnp.log(START.variance), jnp.log(START.noise)[None]])
    away = (point - start) / np.array([3.0, 3.0, 1.0, 1.0, 1.0])
    return 0.5 * away @ away - jax.vmap(effects.log_marginal, (None, 0))(model, seen).sum()

  point = np.concatenate([found.mean, np.log(found.variance), np.log(found.noise)[None]])
  np.testing.assert_allclose(slope(point), 0, atol=0.02)
  assert np.abs(slope(point + np.float32(0.05))).max() > 1


def test_tied_variances_are_one_number():
  features, targets, speakers = simulated(40)
  found = fit.fit(features, targets, fit.enough_speakers(speakers, 'validation'), START, (0, 0))
  assert found.variance[0] == found.variance[1]


def test_means_can_be_fixed():
  found = fitted(*simulated(40), with_mean=False)
  np.testing.assert_array_equal(found.mean, np.float32(START.mean))
  assert found.noise == pytest.approx(TRUE.noise, rel=0.1)


@pytest.mark.parametrize('seed', range(5))
def test_variances_stay_bounded_with_few_speakers(seed):
  found = fitted(*simulated(4, num_clips=4, seed=seed))
  assert (found.variance > START.variance / 50).all()
  assert (found.variance < START.variance * 50).all()


def test_speakers_who_do_not_differ():
  features, _, speakers = simulated(40)
  noise = np.random.default_rng(1).normal(size=len(features))
  found = fitted(features, features @ TRUE.mean + noise, speakers)
  assert found.variance.max() < 0.04
  assert found.noise == pytest.approx(1, rel=0.1)


def test_variances_stay_bounded_without_noise():
  features, _, speakers = simulated(40)
  found = fitted(features, features @ TRUE.mean, speakers)
  np.testing.assert_allclose(found.mean, TRUE.mean, atol=0.01)
  assert START.noise / 1001 < found.noise < 0.01


def test_order_of_clips_does_not_matter():
  features, targets, speakers = simulated(20)
  order = np.random.default_rng(1).permutation(len(speakers))
  found = fitted(features, targets, speakers)
  shuffled = fitted(features[order], targets[order], speakers[order])
  for one, other in zip(found, shuffled, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4)


def test_too_few_speakers_are_refused():
  features, targets, speakers = simulated(3)
  with pytest.raises(
    UserError, match="3 validation speakers .*config.pretrain.validation='speakers'"
  ):
    fitted(features, targets, speakers)
  features, targets, speakers = simulated(6, num_clips=3)
  with pytest.raises(UserError, match='0 validation speakers have at least 4 clips'):
    fitted(features, targets, speakers)


def test_targets_that_are_not_finite_are_refused():
  features, targets, speakers = simulated(6)
  targets[3] = np.nan
  with pytest.raises(UserError, match='not finite'):
    fitted(features, targets, speakers)
