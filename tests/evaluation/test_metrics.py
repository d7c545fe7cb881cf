import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from persona_jax.evaluation import metrics


def test_by_hand():
  labels = np.array([-2.4, 0.0, 1.0, 3.0])
  predictions = np.array([-1.6, -0.2, -1.0, 4.4])
  figures = metrics.evaluate(labels, predictions)
  assert figures['mae'] == pytest.approx((0.8 + 0.2 + 2.0 + 1.4) / 4)
  assert figures['acc7'] == 0.75  # -2 = -2, 0 = 0, 1 and -1, 3 = 3 after the clip
  assert figures['acc2_non0'] == pytest.approx(2 / 3)  # of -2.4, 1 and 3
  assert figures['acc2_has0'] == 0.5  # 0 counts as non-negative, and was predicted negative
  # non0: negatives precision 1/2 recall 1 (F1 2/3, support 1), positives 1 and 1/2 (2/3, support 2)
  assert figures['f1_non0'] == pytest.approx(2 / 3)


def test_agrees_with_sklearn_and_scipy_on_noise():
  random = np.random.default_rng(0)
  for _ in range(20):
    labels = np.round(random.uniform(-3, 3, 17) * 5) / 5
    predictions = labels + random.normal(0, 1.5, 17)
    figures = metrics.evaluate(labels, predictions)
    some = labels != 0
    assert figures['mae'] == pytest.approx(sklearn_metrics.mean_absolute_error(labels, predictions))
    assert figures['corr'] == pytest.approx(stats.pearsonr(labels, predictions)[0])
    assert figures['acc2_non0'] == sklearn_metrics.accuracy_score(labels[some] > 0,
                                                                  predictions[some] > 0)
    assert figures['f1_has0'] == pytest.approx(sklearn_metrics.f1_score(
        labels >= 0, predictions >= 0, average='weighted'))


def test_undefined_is_none():
  constant = metrics.evaluate(np.array([1.0, 2.0]), np.array([0.5, 0.5]))
  assert constant['corr'] is None and constant['mae'] == 1.0
  zeros = metrics.evaluate(np.array([0.0]), np.array([0.5]))
  assert zeros['corr'] is zeros['f1_non0'] is zeros['acc2_non0'] is None
  assert zeros['acc2_has0'] == 1.0
