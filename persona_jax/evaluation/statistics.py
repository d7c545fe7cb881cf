"""Intervals and tests over speakers, seeds and draws. The unit that generalises is the speaker."""

import dataclasses

import numpy as np
from scipy import stats

_SAMPLES = 4000
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Interval:
  """A mean over users with its 95 % interval; `undefined` counts the figures left out of it."""

  mean: float
  low: float
  high: float
  undefined: int

  def excludes_zero(self) -> bool:
    return self.low > 0 or self.high < 0


def bootstrap(values: np.ndarray) -> Interval:
  """Mean over users of their mean over seeds of their mean over draws, with its 95 % interval.

  A hierarchical bootstrap: users are drawn with replacement, then seeds within each, then draws within
  each. The percentiles are those of Hesterberg 2015 (https://doi.org/10.1080/00031305.2015.1089789,
  "expanded percentile"), which for few users are as wide as Student's t would have them; plain ones
  are too narrow.

  Args:
    values: [U, S, R], NaN where a figure is undefined; those are left out, and counted.
  """
  users, seeds, draws = values.shape
  random = np.random.default_rng(_SEED)
  chosen_users = random.integers(users, size=(_SAMPLES, users, 1, 1))
  chosen_seeds = random.integers(seeds, size=(_SAMPLES, users, seeds, 1))
  chosen_draws = random.integers(draws, size=(_SAMPLES, users, seeds, draws))
  means = mean_over_users(values[chosen_users, chosen_seeds, chosen_draws])
  low, high = (np.nan,) * 2 if np.isnan(means).all() else np.nanpercentile(means, _percentiles(users))
  return Interval(float(mean_over_users(values)), float(low), float(high), int(np.isnan(values).sum()))


def _percentiles(users: int) -> tuple[float, float]:
  if users == 1:
    return 0.0, 100.0  # one speaker says nothing of others; at least all that was seen
  tail = 100 * stats.norm.cdf(-np.sqrt(users / (users - 1)) * stats.t.ppf(0.975, users - 1))
  return tail, 100 - tail


def sign_flip(differences: np.ndarray) -> float:
  """Two-sided p-value of a mean difference over users, by flipping signs; exact up to 13 users.

  Args:
    differences: [U], one figure a user, NaN where undefined.
  """
  differences = differences[~np.isnan(differences)]
  if len(differences) < 2:  # either sign of one figure is as far from 0
    return 1.0 if len(differences) else np.nan
  result = stats.permutation_test(
      (differences, np.zeros_like(differences)), lambda x, y, axis: np.mean(x - y, axis=axis),
      permutation_type='samples', vectorized=True, n_resamples=9999, rng=_SEED)
  return float(result.pvalue)


def mean_over_users(values: np.ndarray) -> np.ndarray:
  """[..., U, S, R] -> [...]: the mean over users of what `user_means` gives."""
  return nanmean(user_means(values))


def user_means(values: np.ndarray) -> np.ndarray:
  """[..., S, R] -> [...]: each user's mean over seeds of the mean over draws."""
  return nanmean(nanmean(values))


def nanmean(values: np.ndarray) -> np.ndarray:
  """Mean over the last axis of what is defined; NaN where nothing is."""
  defined = ~np.isnan(values)
  counts = defined.sum(axis=-1)
  sums = np.where(defined, values, 0).sum(axis=-1)
  return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
