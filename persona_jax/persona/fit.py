"""Fits the hyper-parameters of `persona_jax.persona.effects` by maximum marginal likelihood."""

from collections.abc import Sequence

import numpy as np
from scipy import optimize

from persona_jax.errors import UserError
from persona_jax.persona.effects import Effects, Evidence
from persona_jax.types import Array

MIN_SPEAKERS = 4  # fewer speakers do not show how speakers differ
MIN_CLIPS = 4  # speakers with fewer clips are left out

# The standard deviations of the weak Gaussian priors, which are centred at the start of the fit.
_MEAN_DEVIATION = 3.0
_LOG_DEVIATION = 1.0  # of the logarithm of a variance
_LOG_RANGE = np.log(1000)  # bound on the distance of a variance's logarithm from its start


def unseen_clips(speakers: Array, train: Array, clips: Array) -> np.ndarray:
  """The clips among `clips` whose speakers have no clip in `train`.

  Args:
    speakers: [N] of every clip of the corpus.
    train, clips: [n] indices into `speakers`.
  """
  speakers, clips = np.asarray(speakers), np.asarray(clips)
  return clips[~np.isin(speakers[clips], speakers[np.asarray(train)])]


def enough_speakers(speakers: Array, what: str) -> list[np.ndarray]:
  """Groups clips by speaker, leaving out speakers with fewer than `MIN_CLIPS` clips.

  Args:
    speakers: [n] of each clip.
    what: which speakers these are, for the message.

  Returns:
    For each speaker, sorted by name, the indices of that speaker's clips.

  Raises:
    UserError: there are fewer than `MIN_SPEAKERS` speakers.
  """
  speakers = np.asarray(speakers)
  places = [np.flatnonzero(speakers == name) for name in np.unique(speakers)]
  enough = [own for own in places if len(own) >= MIN_CLIPS]
  if len(enough) < MIN_SPEAKERS:
    raise UserError(
      f'{len(enough)} {what} speakers have at least {MIN_CLIPS} clips, expected at least '
      f'{MIN_SPEAKERS} to learn from how speakers differ; set '
      "config.pretrain.validation='speakers', raise config.pretrain.valid_speakers, or give the "
      'study more speakers.'
    )
  return enough


def expect_finite(values: Array) -> np.ndarray:
  """Returns `values` in float64, or raises a `UserError` if one of them is not finite."""
  values = np.asarray(values, np.float64)
  if not np.isfinite(values).all():
    raise UserError('how speakers differ could not be fitted: a prediction or label is not finite.')
  return values


def fit(
  features: Array,
  targets: Array,
  places: Sequence[np.ndarray],
  start: Effects,
  tied: Sequence[int],
  with_mean: bool = True,
) -> Effects:
  """The `Effects` that maximise the marginal likelihood of all speakers times a weak prior.

  Runs in float64 on the host. With few speakers the weak prior keeps variances from diverging or
  collapsing to 0.

  Args:
    features: [n, num_features] of clips.
    targets: [n].
    places: for each speaker, the indices of that speaker's clips.
    start: where the search begins, and the centre of the weak prior.
    tied: [num_features] groups of variances that are fitted as one number, numbered from 0. For
      example, (0, 1, 1) ties the last two of three variances.
    with_mean: whether to fit the mean; otherwise it is that of `start`.

  Raises:
    UserError: a feature or target is not finite.
  """
  features, targets = expect_finite(features), expect_finite(targets)
  seen = _stacked(features, targets, places)
  mean, variance = (np.asarray(x, np.float64) for x in (start.mean, start.variance))
  groups = np.asarray(tied)
  first = [np.flatnonzero(groups == group)[0] for group in range(groups.max() + 1)]
  num_means = len(mean) if with_mean else 0
  centre = np.concatenate([mean[:num_means], np.log(variance[first]), [np.log(float(start.noise))]])
  deviation = np.where(np.arange(len(centre)) < num_means, _MEAN_DEVIATION, _LOG_DEVIATION)

  def unpacked(point):
    variances = np.exp(point[num_means:])
    return Effects(point[:num_means] if with_mean else mean, variances[:-1][groups], variances[-1])

  def objective(point):
    now = unpacked(point)
    value, slope = _log_marginal(now, seen)
    by_mean, by_variance, by_noise = np.split(slope, [len(mean), 2 * len(mean)])
    slope = np.concatenate(
      [by_mean[:num_means], np.bincount(groups, by_variance * now.variance), by_noise * now.noise]
    )
    away = (point - centre) / deviation
    return 0.5 * away @ away - value, away / deviation - slope

  bounds = [
    (None, None) if i < num_means else (at - _LOG_RANGE, at + _LOG_RANGE)
    for i, at in enumerate(centre)
  ]
  found = optimize.minimize(
    objective,
    centre,
    jac=True,
    method='L-BFGS-B',
    bounds=bounds,
    options=dict(maxiter=1000, ftol=1e-13, gtol=1e-7),
  )
  return Effects(*(np.asarray(x, np.float32) for x in unpacked(found.x)))


def _stacked(features: np.ndarray, targets: np.ndarray, places: Sequence[np.ndarray]) -> Evidence:
  """The evidence of every speaker in float64, with a leading axis [num_speakers]."""
  return Evidence(
    np.stack([features[own].T @ features[own] for own in places]),
    np.stack([features[own].T @ targets[own] for own in places]),
    np.array([targets[own] @ targets[own] for own in places]),
    np.array([float(len(own)) for own in places]),
  )


def _log_marginal(effects: Effects, seen: Evidence) -> tuple[float, np.ndarray]:
  """`effects.log_marginal` summed over speakers, and its gradient, in float64.

  With V = noise I + Phi D Phi', r = Phi' V^-1 (t - Phi mean) and c a column of Phi, the derivative
  by the mean is r, that by a variance (r^2 - c' V^-1 c) / 2, and that by the noise (|V^-1 (t - Phi
  mean)|^2 - tr V^-1) / 2. All of them can be computed from the sums in `seen`.

  Returns:
    The sum over speakers, and its derivatives by mean, variance and noise, concatenated:
    [2 num_features + 1].
  """
  mean, variance, noise = effects
  scale = np.sqrt(variance)
  cross = seen.cross - seen.gram @ mean
  square = seen.square - 2 * seen.cross @ mean + mean @ seen.gram @ mean
  matrix = np.eye(len(mean)) + scale[:, None] * seen.gram * scale / noise
  covariance = scale[:, None] * np.linalg.inv(matrix) * scale
  estimate = np.einsum('sqp,sp->sq', covariance, cross) / noise  # of w - mean
  explained = np.einsum('sqp,sp->sq', seen.gram, estimate)
  value = -0.5 * (
    seen.count * np.log(2 * np.pi * noise)
    + np.linalg.slogdet(matrix)[1]
    + (square - (cross * estimate).sum(1)) / noise
  )
  by_mean = (cross - explained) / noise
  reduced = (seen.gram @ covariance * seen.gram).sum(2)
  by_variance = 0.5 * (
    by_mean**2 - (np.diagonal(seen.gram, axis1=1, axis2=2) - reduced / noise) / noise
  )
  left = square - 2 * (cross * estimate).sum(1) + (explained * estimate).sum(1)
  trace = seen.count - np.einsum('sqp,spq->s', covariance, seen.gram) / noise
  by_noise = 0.5 * (left / noise - trace) / noise
  return value.sum(), np.concatenate([by_mean.sum(0), by_variance.sum(0), [by_noise.sum()]])
