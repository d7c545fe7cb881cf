"""Intervals over speakers and draws. The unit that generalises is the speaker."""

import dataclasses

import numpy as np

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
  """Mean over users of their mean over draws, with a percentile interval.

  A hierarchical bootstrap: users are drawn with replacement, then draws within each.

  Args:
    values: [U, R], NaN where a figure is undefined; those are left out, and counted.
  """
  users, draws = values.shape
  random = np.random.default_rng(_SEED)
  chosen_users = random.integers(users, size=(_SAMPLES, users, 1))
  chosen_draws = random.integers(draws, size=(_SAMPLES, users, draws))
  means = _mean_of_means(values[chosen_users, chosen_draws])
  low, high = np.nanpercentile(means, [2.5, 97.5]) if not np.isnan(means).all() else (np.nan,) * 2
  return Interval(float(_mean_of_means(values)), float(low), float(high),
                  int(np.isnan(values).sum()))


def _mean_of_means(values: np.ndarray) -> np.ndarray:
  """Mean over the last axis, then over the one before; NaN only where nothing is defined."""
  return _nanmean(_nanmean(values))


def _nanmean(values: np.ndarray) -> np.ndarray:
  defined = ~np.isnan(values)
  counts = defined.sum(axis=-1)
  sums = np.where(defined, values, 0).sum(axis=-1)
  return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
