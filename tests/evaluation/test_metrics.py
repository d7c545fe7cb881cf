import numpy as np
import pytest
from sklearn.metrics import f1_score

from persona_jax import targets
from persona_jax.evaluation import metrics


def test_by_hand():
  labels = np.array([-2.4, 0.0, 1.0, 3.0])
  predictions = np.array([-1.6, -0.2, -1.0, 4.4])
  figures = metrics.evaluate(labels, predictions)
  assert figures['mae'] == pytest.approx((0.8 + 0.2 + 2.0 + 1.4) / 4)
  # Both means are 0.4; from them labels are -2.8, -0.4, 0.6, 2.6 and predictions -2, -0.6, -1.4, 4.
  # Products 5.6 + 0.24 - 0.84 + 10.4; squares 7.84 + 0.16 + 0.36 + 6.76 and 4 + 0.36 + 1.96 + 16.
  assert figures['corr'] == pytest.approx(15.4 / (15.12 * 22.32) ** 0.5)
  assert figures['acc7'] == 0.75  # -2 = -2, 0 = 0, 1 and -1, 3 = 3 after the clip
  assert figures['acc2_non0'] == pytest.approx(2 / 3)  # of -2.4, 1 and 3
  assert figures['acc2_has0'] == 0.5  # 0 counts as non-negative, and was predicted negative
  # non0: negatives precision 1/2 recall 1 (F1 2/3, support 1), positives 1 and 1/2 (2/3, support 2)
  assert figures['f1_non0'] == pytest.approx(2 / 3)
  # has0: negatives precision 1/3 recall 1 (F1 1/2, support 1), the rest 1 and 1/3 (1/2, support 3)
  assert figures['f1_has0'] == pytest.approx(1 / 2)


@pytest.mark.parametrize(
  'predictions, r',
  [([1, 3, 2], 0.5), ([2, 3, 1], -0.5), ([10, 20, 30], 1), ([3, 2, 1], -1), ([0, 1, 0], 0)],
)
def test_correlation_is_pearsons(predictions, r):
  """Labels 1, 2, 3 are -1, 0, 1 from their mean: r = (p_3 - p_1) / sqrt(2 sum (p - mean p)^2)."""
  assert metrics.correlation(np.array([1.0, 2, 3]), np.array(predictions, float)) == pytest.approx(
    r
  )


def test_f1_is_scikit_learns_to_the_last_bit():
  random = np.random.default_rng(0)
  for _ in range(300):
    count = random.integers(1, 30)
    # Few distinct values, so that a class is often missing on either side.
    labels, predictions = random.integers(-1, 2, (2, count)).astype(float)
    found = metrics.evaluate(labels, predictions)
    expected = f1_score(labels >= 0, predictions >= 0, average='weighted', zero_division=0)
    assert found['f1_has0'] == expected


def test_f1_is_weighted_by_the_true_classes():
  """4 positives, 2 of 3 so called are; 2 negatives, 1 of 3 so called is."""
  labels, predictions = np.array([1, 1, 1, 1, -1, -1.0]), np.array([1, 1, -1, -1, 1, -1.0])
  # Positives: precision 2/3, recall 2/4, F1 4/7. Negatives: 1/3, 1/2, F1 2/5.
  assert metrics.evaluate(labels, predictions)['f1_non0'] == pytest.approx(
    (4 * 4 / 7 + 2 * 2 / 5) / 6
  )


def test_undefined_is_none():
  constant = metrics.evaluate(np.array([1.0, 2.0]), np.array([0.5, 0.5]))
  assert constant['corr'] is None and constant['mae'] == 1.0
  zeros = metrics.evaluate(np.array([0.0]), np.array([0.5]))
  assert zeros['corr'] is zeros['f1_non0'] is zeros['acc2_non0'] is None
  assert zeros['acc2_has0'] == 1.0


def test_emotions_by_hand():
  """Present are 1/3, 1 and 3, of which two are found; absent are two clips, of which one is."""
  labels = np.array([0, 0, 1 / 3, 1, 3])
  predictions = np.array([0.1, 0.5, 0.1, 1.5, 2])
  found = metrics.evaluate(labels, predictions, targets.named('fear'))
  assert tuple(found) == metrics.names(targets.named('fear')) == metrics.OF_EMOTIONS
  assert found['mae'] == pytest.approx((0.1 + 0.5 + 1 / 3 - 0.1 + 0.5 + 1) / 5)
  assert found['corr'] == pytest.approx(np.corrcoef(labels, predictions)[0, 1])
  assert found['wacc'] == pytest.approx((2 / 3 + 1 / 2) / 2)
  # Present: precision 2/3, recall 2/3, F1 2/3. Absent: 1/2, 1/2, 1/2.
  assert found['f1_present'] == pytest.approx((3 * 2 / 3 + 2 * 1 / 2) / 5)


def test_an_emotion_that_is_never_present_has_no_weighted_accuracy():
  found = metrics.evaluate(np.zeros(3), np.array([0, 0.1, 0.2]), targets.named('fear'))
  assert found['wacc'] is None
  assert found['f1_present'] == pytest.approx(0.8)  # precision 1, recall 2/3
