"""The trivial personaliser: add the support clips' mean residual to the baseline, shrunken.

A method that does not beat it has learned nothing personal but an offset. How much to shrink
follows from the other speakers. With residuals e = mu_speaker + noise, the best linear estimate of
mu from n clips is n / (n + k) times their mean, where k = var(noise) / var(mu). This is the
James-Stein shrinkage of empirical Bayes (Efron and Morris 1975). k is estimated on the fold's
validation clips by one-way analysis of variance.
"""

import numpy as np


def shrinkage(residuals: np.ndarray, speakers: np.ndarray) -> float:
  """k, the clips at which half the mean residual is believed; inf where speakers do not differ.

  Args:
    residuals: [V] label - prediction of validation clips.
    speakers: [V] who speaks.
  """
  groups = [residuals[speakers == speaker] for speaker in np.unique(speakers)]
  sizes = np.array([len(group) for group in groups])
  count, means = sizes.sum(), np.array([group.mean() for group in groups])
  if len(groups) < 2 or count == len(groups):
    return np.inf
  within = sum(((group - group.mean()) ** 2).sum() for group in groups) / (count - len(groups))
  between = (sizes * (means - residuals.mean()) ** 2).sum() / (len(groups) - 1)
  effective_size = (count - (sizes**2).sum() / count) / (len(groups) - 1)
  variance = (between - within) / effective_size
  return within / variance if variance > 0 else np.inf


def shift(residuals: np.ndarray, k: float) -> float:
  """What to add to every prediction, given residuals [n] of the support clips."""
  return len(residuals) / (len(residuals) + k) * residuals.mean()
