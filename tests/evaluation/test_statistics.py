import itertools
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from persona_jax.evaluation import statistics


def of_users(*values):
  """One seed and one draw a user."""
  return np.array(values, float)[:, None, None]


def test_mean_is_over_users_of_means_over_seeds_and_draws():
  interval = statistics.bootstrap(np.array([[[1.0, 3.0], [8.0, 8.0]], [[5.0, np.nan]] * 2]))
  assert interval.mean == 5  # user means ((1 + 3) / 2 + 8) / 2 = 5 and 5
  assert interval.undefined == 2
  assert interval.low <= 5 <= interval.high


def test_no_spread_no_interval():
  interval = statistics.bootstrap(np.full((4, 1, 3), -0.25))
  assert (interval.low, interval.high) == (-0.25, -0.25) and interval.excludes_zero()


def test_interval_is_students_over_users():
  values = np.random.default_rng(0).normal(size=(10, 1, 1)) + np.zeros(
    (10, 2, 5)
  )  # draws all alike
  interval = statistics.bootstrap(values)
  students = stats.t.interval(0.95, 9, loc=values[:, 0, 0].mean(), scale=stats.sem(values[:, 0, 0]))
  assert interval.high - interval.low == pytest.approx(students[1] - students[0], rel=0.07)
  np.testing.assert_allclose((interval.low, interval.high), students, atol=0.1)


def test_percentiles_are_scipys_where_they_are_not_expanded(monkeypatch):
  """On ten speakers' differences, plain percentiles."""
  values = np.array([-0.3, -0.12, 0.05, -0.2, -0.41, -0.02, 0.1, -0.15, -0.08, -0.25])
  monkeypatch.setattr(statistics, '_percentiles', lambda users: (2.5, 97.5))
  ours = statistics.bootstrap(of_users(*values))
  scipys = stats.bootstrap(
    (values,), np.mean, method='percentile', n_resamples=20000, rng=1
  ).confidence_interval
  np.testing.assert_allclose((ours.low, ours.high), scipys, atol=0.01)


@pytest.mark.parametrize('axis', [1, 2])
def test_seeds_and_draws_widen_it(axis):
  shape = [5, 1, 1]
  shape[axis] = 8
  narrow = statistics.bootstrap(np.zeros(shape))
  ups_and_downs = np.resize([1.0, -1.0], shape)  # users alike
  wide = statistics.bootstrap(ups_and_downs)
  assert narrow.high - narrow.low == 0 < wide.high - wide.low


def test_nothing_defined_is_nan():
  interval = statistics.bootstrap(np.full((2, 1, 2), np.nan))
  assert np.isnan(interval.mean) and np.isnan(interval.low) and interval.undefined == 4


def test_sign_flips_are_counted_exactly():
  values = np.array([-0.3, -0.12, 0.05, -0.2, -0.41, -0.02, 0.1, -0.15])
  flipped = [abs(np.mean(values * signs)) for signs in itertools.product([1, -1], repeat=8)]
  expected = np.mean(np.array(flipped) >= abs(values.mean()) - 1e-12)
  assert statistics.sign_flip(values) == pytest.approx(expected)
  assert statistics.sign_flip(np.append(values, np.nan)) == pytest.approx(expected)
  assert statistics.sign_flip(-np.ones(10)) == pytest.approx(2 / 2**10)
  assert statistics.sign_flip(np.array([0.3])) == 1 and np.isnan(
    statistics.sign_flip(np.array([np.nan]))
  )


@pytest.mark.slow
def test_intervals_cover_as_often_as_they_say():
  """Ten speakers, two seeds, ten draws, with effects of each; the true mean is 0."""
  random, covered, rejected, runs = np.random.default_rng(0), 0, 0, 1000
  for _ in range(runs):
    values = (
      random.normal(size=(10, 1, 1))
      + 0.3 * random.normal(size=(10, 2, 1))
      + 0.5 * random.normal(size=(10, 2, 10))
    )
    interval = statistics.bootstrap(values)
    covered += interval.low <= 0 <= interval.high
    rejected += statistics.sign_flip(values.mean(axis=(1, 2))) <= 0.05
  assert 0.93 <= covered / runs <= 0.98
  assert 0.03 <= rejected / runs <= 0.07


def bootstrap_at_once(values):
  """`statistics.bootstrap` by its definition, with all samples in memory."""
  users, seeds, draws = values.shape
  random = np.random.default_rng(0)
  chosen_users = random.integers(users, size=(4000, users, 1, 1))
  chosen_seeds = random.integers(seeds, size=(4000, users, seeds, 1))
  chosen_draws = random.integers(draws, size=(4000, users, seeds, draws))
  means = statistics.mean_over_users(values[chosen_users, chosen_seeds, chosen_draws])
  low, high = np.nanpercentile(means, statistics._percentiles(users))
  return statistics.Interval(
    float(statistics.mean_over_users(values)), float(low), float(high), int(np.isnan(values).sum())
  )


@pytest.mark.parametrize('chunk', [2**19, 1000, 1])
def test_samples_in_chunks_are_the_samples_at_once(monkeypatch, chunk):
  """To the last bit, whatever shares the call."""
  monkeypatch.setattr(statistics, '_CHUNK', chunk)
  random, tables = np.random.default_rng(1), []
  for shape in ((1, 1, 1), (3, 1, 2), (2, 3, 1), (5, 2, 4), (10, 1, 20), (3, 2, 11)):
    tables.append(random.normal(size=shape))
    tables.append(np.where(random.random(shape) < 0.2, np.nan, tables[-1]))
  assert statistics.bootstraps(tables) == [bootstrap_at_once(table) for table in tables]


def test_flips_in_chunks_are_the_flips_at_once(monkeypatch):
  for users in (5, 40):  # exact, and sampled
    values = np.random.default_rng(users).normal(0.3, 1, users)
    whole = statistics.sign_flip(values)
    with monkeypatch.context() as patch:
      patch.setattr(statistics, '_CHUNK', 1000)
      assert statistics.sign_flip(values) == whole


def test_memory_does_not_grow_with_samples_times_values():
  """All samples of 400 users' 20 draws at once would be 4,000 x 8,000 x 8 bytes, thrice."""
  values = np.random.default_rng(0).normal(size=(400, 1, 20))
  tracemalloc.start()
  statistics.bootstraps([values, -values])
  statistics.sign_flip(values[:, 0, 0])
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert peak < 80e6


def test_an_empty_table_has_no_interval():
  interval = statistics.bootstrap(np.zeros((0, 1, 2)))
  assert np.isnan([interval.mean, interval.low, interval.high]).all() and not interval.undefined


def test_holms_p_values_by_hand():
  # Sorted: .01 x 4 = .04; .02 x 3 = .06; .03 x 2 = .06; .04 x 1, but not below the one before.
  adjusted = statistics.holm(np.array([0.04, 0.01, 0.03, 0.02]))
  np.testing.assert_allclose(adjusted, [0.06, 0.04, 0.06, 0.06])
  np.testing.assert_allclose(statistics.holm(np.array([0.5, 0.4, 0.01])), [0.8, 0.8, 0.03])
  np.testing.assert_allclose(statistics.holm(np.array([0.9, 0.6])), [1, 1])
  # An undefined one stays so, and the others are a family of two.
  np.testing.assert_allclose(statistics.holm(np.array([0.01, np.nan, 0.02])), [0.02, np.nan, 0.02])
  assert statistics.holm(np.array([0.3])) == 0.3 and not statistics.holm(np.array([])).size
