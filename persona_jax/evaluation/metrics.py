"""The metrics of one set of query clips.

Those of sentiment are the paper's (section 5.1), computed as in MulT's code. Those of emotions are
those of CMU-MOSEI's paper (Zadeh et al. 2018, section 5), beside the mean absolute error.
"""

import warnings

import numpy as np
from scipy import stats

from persona_jax.targets import SENTIMENT, Target

COVERAGE = 'coverage'  # of 90 % intervals, in the records of arms that predict them
METRICS = ('mae', 'corr', 'acc7', 'acc2_non0', 'acc2_has0', 'f1_non0', 'f1_has0')
OF_EMOTIONS = ('mae', 'corr', 'wacc', 'f1_present')
_PRESENT = 1 / 6  # predicted from here on: nearer to 1/3, the least mean of three raters, than to 0


def names(target: Target) -> tuple[str, ...]:
  """The metrics of a target."""
  return OF_EMOTIONS if target.is_emotion else METRICS


def evaluate(
  labels: np.ndarray, predictions: np.ndarray, target: Target = SENTIMENT
) -> dict[str, float | None]:
  """All metrics of [n] labels and predictions; None where a metric is undefined.

  mae: mean |y_hat - y|. corr: Pearson. acc7: both clipped to -3..3 and rounded, equal. non0: clips
  with y = 0 are left out and positive means > 0. has0: all clips, non-negative means >= 0. F1 is
  weighted by the true classes' support.

  Of an emotion: mae and corr; wacc and f1_present of clips where it is present, label > 0, against
  those where it is absent. wacc is the mean of both classes' recall.
  """
  labels, predictions = np.asarray(labels, float), np.asarray(predictions, float)
  if target.is_emotion:
    present, guess = labels > 0, predictions >= _PRESENT
    return {
      'mae': float(np.abs(predictions - labels).mean()),
      'corr': correlation(labels, predictions),
      'wacc': _weighted_accuracy(present, guess),
      'f1_present': _weighted_f1(present, guess),
    }
  opinionated = labels != 0
  return {
    'mae': float(np.abs(predictions - labels).mean()),
    'corr': correlation(labels, predictions),
    'acc7': float((seven_classes(predictions) == seven_classes(labels)).mean()),
    **_binary('non0', labels[opinionated] > 0, predictions[opinionated] > 0),
    **_binary('has0', labels >= 0, predictions >= 0),
  }


def seven_classes(scores: np.ndarray) -> np.ndarray:
  """[n] float: the nearest of -3..3, ties to even."""
  return np.round(np.clip(scores, -3, 3))


def correlation(labels: np.ndarray, predictions: np.ndarray) -> float | None:
  """Pearson's r, or None for fewer than two clips or a constant side."""
  if len(labels) < 2:
    return None
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', stats.ConstantInputWarning)  # answered by the None below
    result = stats.pearsonr(labels, predictions)
    value = result.statistic  # pyright: ignore[reportAttributeAccessIssue]  # added at run time
  return None if np.isnan(value) else float(value)


def _binary(suffix: str, truth: np.ndarray, guess: np.ndarray) -> dict[str, float | None]:
  if not len(truth):
    return {f'acc2_{suffix}': None, f'f1_{suffix}': None}
  return {
    f'acc2_{suffix}': float((truth == guess).mean()),
    f'f1_{suffix}': _weighted_f1(truth, guess),
  }


def _weighted_accuracy(truth: np.ndarray, guess: np.ndarray) -> float | None:
  """The mean of both classes' recall (Tong et al. 2017); None where one class has no clip."""
  if truth.all() or not truth.any():
    return None
  return float((guess[truth].mean() + (~guess[~truth]).mean()) / 2)


def _weighted_f1(truth: np.ndarray, guess: np.ndarray) -> float:
  """F1 of both classes weighted by their true counts, to the last bit as scikit-learn's `f1_score`.

  A study has tens of thousands of trials; scikit-learn would take minutes for them.
  """
  weighted = 0.0
  for of_class, guessed in ((~truth, ~guess), (truth, guess)):
    count, total = of_class.sum(), of_class.sum() + guessed.sum()
    weighted += 2.0 * (of_class & guessed).sum() / total * count if total else 0.0
  return float(weighted / len(truth))
