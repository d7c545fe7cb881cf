import numpy as np
import pytest

from persona_jax.evaluation import statistics


def test_mean_is_over_users_of_means_over_draws():
  interval = statistics.bootstrap(np.array([[1.0, 3.0], [5.0, np.nan]]))
  assert interval.mean == 3.5  # (2 + 5) / 2
  assert interval.undefined == 1
  assert interval.low <= 3.5 <= interval.high


def test_no_spread_no_interval():
  interval = statistics.bootstrap(np.full((4, 3), -0.25))
  assert (interval.low, interval.high) == (-0.25, -0.25) and interval.excludes_zero()


def test_interval_is_that_of_normal_theory_over_users():
  values = np.random.default_rng(0).normal(size=(60, 1)) + np.zeros((60, 5))  # draws all alike
  interval = statistics.bootstrap(values)
  half = 1.96 * values[:, 0].std() / np.sqrt(60)
  assert interval.high - interval.mean == pytest.approx(half, rel=0.1)
  assert interval.mean - interval.low == pytest.approx(half, rel=0.1)


def test_draws_widen_it():
  random = np.random.default_rng(0)
  narrow = statistics.bootstrap(np.zeros((5, 8)))
  wide = statistics.bootstrap(random.normal(size=(5, 8)))
  assert narrow.high - narrow.low == 0 < wide.high - wide.low


def test_nothing_defined_is_nan():
  interval = statistics.bootstrap(np.full((2, 2), np.nan))
  assert np.isnan(interval.mean) and np.isnan(interval.low) and interval.undefined == 4
