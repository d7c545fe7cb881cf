"""Intervals and tests over speakers, seeds and draws. The unit that generalises is the speaker."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

_SAMPLES = 4000
_SEED = 0
_CHUNK = 2**19  # values that are resampled, or signs that are flipped, at once: a few megabytes


@dataclasses.dataclass(frozen=True)
class Interval:
  """A mean over users with its 95 % interval; `undefined` counts the metrics left out of it."""

  mean: float
  low: float
  high: float
  undefined: int

  def excludes_zero(self) -> bool:
    return self.low > 0 or self.high < 0


def bootstrap(values: np.ndarray) -> Interval:
  """Mean over users of their mean over seeds of their mean over draws, with its 95 % interval.

  A hierarchical bootstrap: users are drawn with replacement, then seeds within each user, then
  draws within each seed. The percentiles are the "expanded" ones of Hesterberg 2015
  (https://doi.org/10.1080/00031305.2015.1089789), which for few users are as wide as Student's t
  interval; plain percentiles are too narrow.

  Args:
    values: [U, S, R], NaN where a metric is undefined; those are left out, and counted.
  """
  (interval,) = bootstraps([values])
  return interval


def bootstraps(tables: Sequence[np.ndarray]) -> list[Interval]:
  """`bootstrap` of each table; tables of one shape share the samples, and the time to draw them.

  Time is linear in the number of values. Memory is `_CHUNK` values, and the users and seeds of the
  samples, 4 bytes each.
  """
  means = [np.full(_SAMPLES, np.nan) for _ in tables]
  for shape in {table.shape for table in tables if table.size}:
    same = [number for number, table in enumerate(tables) if table.shape == shape]
    start = 0
    for chosen in _samples(*shape):
      for number in same:
        means[number][start : start + len(chosen)] = _resampled_means(tables[number], chosen)
      start += len(chosen)
  return [_interval(table, sample_means) for table, sample_means in zip(tables, means, strict=True)]


def _samples(users: int, seeds: int, draws: int) -> Iterator[np.ndarray]:
  """The samples in chunks, [C, U, S, R] each: places in the flattened table."""
  random = np.random.default_rng(_SEED)
  rows = random.integers(users, size=(_SAMPLES, users, 1, 1)).astype(np.uint32) * np.uint32(seeds)
  rows = rows + random.integers(seeds, size=(_SAMPLES, users, seeds, 1)).astype(np.uint32)
  size = max(1, _CHUNK // (users * seeds * draws))
  for start in range(0, _SAMPLES, size):
    some = rows[start : start + size].astype(np.intp)
    yield some * draws + random.integers(draws, size=(len(some), users, seeds, draws))


def _resampled_means(table: np.ndarray, chosen: np.ndarray) -> np.ndarray:
  """[C] means over users of the samples [C, U, S, R]; every mean leaves out what is undefined."""
  defined = ~np.isnan(table)
  if defined.all():
    over_draws = table.take(chosen).sum(axis=-1) / table.shape[-1]
  else:
    over_draws = _mean(np.where(defined, table, 0).take(chosen), defined.take(chosen))
  return nanmean(nanmean(over_draws))


def _interval(table: np.ndarray, means: np.ndarray) -> Interval:
  low, high = (
    (np.nan,) * 2 if np.isnan(means).all() else np.nanpercentile(means, _percentiles(len(table)))
  )
  return Interval(
    float(mean_over_users(table)), float(low), float(high), int(np.isnan(table).sum())
  )


def _percentiles(users: int) -> tuple[float, float]:
  if users == 1:
    return 0.0, 100.0  # one speaker says nothing of others; at least all that was seen
  tail = float(100 * stats.norm.cdf(-np.sqrt(users / (users - 1)) * stats.t.ppf(0.975, users - 1)))
  return tail, 100 - tail


def sign_flip(differences: np.ndarray) -> float:
  """Two-sided p-value of a mean difference over users, by flipping signs; exact up to 13 users.

  Args:
    differences: [U], one metric per user, NaN where undefined.
  """
  differences = differences[~np.isnan(differences)]
  if len(differences) < 2:  # either sign of one number is as far from 0
    return 1.0 if len(differences) else np.nan
  result = stats.permutation_test(
    (differences, np.zeros_like(differences)),
    lambda x, y, axis: np.mean(x - y, axis=axis),
    permutation_type='samples',
    vectorized=True,
    n_resamples=9999,
    rng=_SEED,
    batch=max(1, _CHUNK // len(differences)),
  )
  return float(result.pvalue)


def holm(p: np.ndarray) -> np.ndarray:
  """P-values adjusted for being several, by Holm's step-down procedure.

  If every difference whose adjusted value is at most alpha is called real, the chance that any of
  them is not is at most alpha, however the tests depend on each other. Of m values, the i-th
  smallest (i from 0) becomes the largest of (m - j) p_j over j = 0..i, at most 1 (Holm 1979, "A
  simple sequentially rejective multiple test procedure", https://www.jstor.org/stable/4615733).

  Args:
    p: [m] p-values of one family; NaN stays NaN, and does not count.
  """
  p = np.asarray(p, float)
  order = np.argsort(p, kind='stable')[: np.count_nonzero(~np.isnan(p))]  # NaN is sorted to the end
  adjusted = np.full(p.shape, np.nan)
  steps = p[order] * np.arange(len(order), 0, -1)
  adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
  return adjusted


def mean_over_users(values: np.ndarray) -> np.ndarray:
  """[..., U, S, R] -> [...]: the mean over users of what `user_means` gives."""
  return nanmean(user_means(values))


def user_means(values: np.ndarray) -> np.ndarray:
  """[..., S, R] -> [...]: each user's mean over seeds of the mean over draws."""
  return nanmean(nanmean(values))


def nanmean(values: np.ndarray) -> np.ndarray:
  """Mean over the last axis of what is defined; NaN where nothing is."""
  defined = ~np.isnan(values)
  return _mean(np.where(defined, values, 0), defined)


def _mean(values: np.ndarray, defined: np.ndarray) -> np.ndarray:
  """Mean over the last axis; `values` are 0 where not `defined`."""
  counts = defined.sum(axis=-1)
  return np.where(counts > 0, values.sum(axis=-1) / np.maximum(counts, 1), np.nan)
