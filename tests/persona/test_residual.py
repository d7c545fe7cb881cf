"""Residual Bayes: its features, its prior recovered from simulated people, and its densities."""

import jax
import numpy as np
import pytest

from persona_jax.errors import UserError
from persona_jax.persona import effects, residual
from persona_jax.persona.effects import Effects
from persona_jax.persona.labels import GRID

WIDTH, COMPONENTS = 7, 3
V0, V1, V2, NOISE = 0.2, 0.1, 0.03, 0.8

density = jax.jit(residual.density)
gaussian = jax.jit(residual.gaussian)


def simulated(num_people, num_clips=20, seed=0):
  """Simulates predictions, read, labels and speakers.

  `read` varies in three directions, with a different variance in each.
  """
  random = np.random.default_rng(seed)
  speakers = np.repeat(np.arange(num_people), num_clips)
  components = random.normal(size=(len(speakers), COMPONENTS))
  mixing = np.linalg.qr(random.normal(size=(WIDTH, COMPONENTS)))[0].T * np.array(
    [[5.0], [2.0], [0.5]]
  )
  predictions = random.normal(0, 1.5, len(speakers))
  phi = np.concatenate([np.ones((len(speakers), 1)), predictions[:, None], components], axis=1)
  own = random.normal(0, np.sqrt([V0, V1] + [V2] * COMPONENTS), (num_people, 2 + COMPONENTS))
  noise = random.normal(0, NOISE**0.5, len(speakers))
  labels = predictions + (phi * own[speakers]).sum(axis=1) + noise
  return predictions, 4 + components @ mixing, labels, speakers


def fitted(num_people):
  predictions, read, labels, speakers = simulated(num_people)
  train, unseen = np.flatnonzero(speakers < 5), np.flatnonzero(speakers >= 5)
  return residual.fit_residual(predictions, read, labels, speakers, train, unseen)


def test_components_are_white_and_ordered():
  _, read, _, _ = simulated(40)
  reading = residual.fit_reading(read, num_components=20)
  assert reading.directions.shape == (WIDTH, COMPONENTS)  # the others do not vary
  phi = np.asarray(residual.features(reading, np.arange(len(read), dtype=np.float32), read))
  np.testing.assert_array_equal(phi[:, 0], 1)
  np.testing.assert_array_equal(phi[:, 1], np.arange(len(read)))
  components = phi[:, 2:]
  np.testing.assert_allclose(components.mean(axis=0), 0, atol=1e-4)
  np.testing.assert_allclose(components.T @ components / len(read), np.eye(COMPONENTS), atol=1e-3)
  lengths = np.linalg.norm(reading.directions, axis=0)
  assert (np.diff(lengths) > 0).all()  # directions of larger variance are scaled less
  assert residual.fit_reading(read, num_components=2).directions.shape == (WIDTH, 2)


def test_directions_do_not_flip():
  _, read, _, _ = simulated(40)
  found, of_reversed = (residual.fit_reading(x) for x in (read, read[::-1]))
  for one, other in zip(found, of_reversed, strict=True):
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_prior_is_recovered():
  found = fitted(300).effects
  np.testing.assert_array_equal(found.mean, 0)
  np.testing.assert_allclose(found.variance[:2], [V0, V1], rtol=0.25)
  assert (found.variance[2:] == found.variance[2]).all()
  assert found.variance[2] == pytest.approx(V2, rel=0.3)
  assert found.noise == pytest.approx(NOISE, rel=0.05)


def test_training_speakers_are_not_used_for_the_variances():
  predictions, read, labels, speakers = simulated(20)
  train = np.flatnonzero(speakers < 10)
  alone = residual.fit_residual(
    predictions, read, labels, speakers, train, np.flatnonzero(speakers >= 10)
  )
  mixed = residual.fit_residual(
    predictions, read, labels, speakers, train, np.flatnonzero(speakers >= 5)
  )
  np.testing.assert_array_equal(alone.effects.variance, mixed.effects.variance)
  with pytest.raises(UserError, match='config.pretrain.validation'):
    residual.fit_residual(
      predictions, read, labels, speakers, np.arange(0, 400, 2), np.arange(1, 400, 2)
    )


def test_density_by_hand():
  """Only the constant feature has a variance, 1; the noise is 1 and the residuals are 1 and 3.

  The posterior of its coefficient has mean 4 / 3 and variance 1 / 3.
  """
  reading = residual.Reading(np.zeros(2, np.float32), np.zeros((2, 1), np.float32))
  effects_prior = Effects(np.zeros(3, np.float32), np.float32([1, 0, 0]), np.float32(1))
  prior = residual.ResidualPrior(reading, effects_prior)
  phi = residual.features(reading, np.float32([0.5, -0.5]), np.ones((2, 2), np.float32))
  person = effects.evidence(phi, np.float32([1, 3]), np.ones(2, np.float32))
  (found,) = density(prior, person, np.float32([-1.3]), np.ones((1, 2), np.float32))
  expected = np.exp(-0.5 * (GRID - (4 / 3 - 1.3)) ** 2 / (1 + 1 / 3))
  np.testing.assert_allclose(
    (found / found.max())[1:-1], (expected / expected.max())[1:-1], rtol=3e-3
  )


def test_end_points_include_the_tails():
  """Gaussians with their mean one standard deviation beyond the last cell's inner end."""
  found = gaussian(np.float32([2.95 + 0.5, -3.45, 0.4]), np.float32([0.25, 0.25, 0.3]))
  np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
  np.testing.assert_allclose([found[0, -1], found[1, 0]], 0.8413, atol=1e-3)
  np.testing.assert_allclose(found[2] @ GRID, 0.4, atol=1e-4)


def test_without_clips_the_prediction_is_the_predictors():
  prior, asked = fitted(20), np.float32([-0.5, 0.0, 0.5])
  person = effects.no_evidence(2 + COMPONENTS)
  found = density(prior, person, asked, np.full((3, WIDTH), 4, np.float32))
  np.testing.assert_allclose(GRID[found.argmax(axis=1)], asked, atol=1e-5)


def test_a_person_is_smaller_than_4_kb():
  person = effects.no_evidence(2 + residual.NUM_COMPONENTS)
  assert sum(leaf.nbytes for leaf in jax.tree.leaves(person)) < 4096 - 64
