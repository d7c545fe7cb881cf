import numpy as np
import pytest
from studies import of_mae, of_maes

from persona_jax.evaluation.statistics import Interval
from persona_jax.reporting import arm_comparison
from persona_jax.reporting.scores import Scores


def test_users_of_both_arms_are_paired_by_name():
  scores = Scores.of(
    [
      of_mae('a', 'baseline', 0, 1),
      of_mae('b', 'baseline', 0, 2),
      of_mae('c', 'fs_ua', 0, 7),
      of_mae('b', 'fs_ua', 0, 1.5),
    ]
  )
  users, table = arm_comparison.paired(scores, 'mae', 'fs_ua', 'baseline')
  assert users == ('b',) and table.tolist() == [[[-0.5]]]


def test_arms_of_the_ensemble_are_compared_with_its_own_calibration():
  arms = ('baseline', 'calibrated', 'joint', 'ensemble', 'ensemble_calibrated', 'ensemble_joint')
  compared = arm_comparison.compare(of_maes(**{arm: [1, 2] for arm in arms}))
  pairs = {(each.arm, each.reference) for each in compared}
  assert {('joint', 'calibrated'), ('ensemble_joint', 'ensemble_calibrated')} <= pairs
  assert ('ensemble_joint', 'calibrated') not in pairs
  assert all((arm, 'baseline') in pairs for arm in arms[1:])


def test_what_one_arm_lacks_counts_in_neither():
  """Draw 1 has no baseline: the arm's mean is that of draw 0."""
  scores = Scores.of(
    [
      of_mae('a', 'baseline', 0, 1),
      of_mae('a', 'baseline', 1, None),
      of_mae('a', 'fs_ua', 0, 2),
      of_mae('a', 'fs_ua', 1, 5),
    ]
  )
  after, before = arm_comparison.matched(scores, 'mae', 'fs_ua', 'baseline')
  np.testing.assert_array_equal(after.table, [[[2, np.nan]]])
  np.testing.assert_array_equal(before.table, [[[1, np.nan]]])


def test_every_arm_is_compared_with_the_baseline_and_the_one_before():
  arms = ('baseline', 'mean_shift', 'fs_ua')
  compared = arm_comparison.compare(of_maes(**{arm: [1, 2] for arm in arms}))
  assert [each.name for each in compared] == [
    'Mean shift − Baseline',
    'FS-UA − Baseline',
    'FS-UA − Mean shift',
  ]
  assert arm_comparison.compare(of_maes(fs_ua=[1])) == []
  (only,) = arm_comparison.compare(of_maes(mean_shift=[1], fs_ua=[3]))
  assert (only.arm, only.reference, only.interval.mean) == ('fs_ua', 'mean_shift', 2)


def test_every_arm_with_clips_is_compared_with_the_calibrated_baseline_once():
  """`calibrated` stands behind FS-UA, and FS-UA - calibrated is not tested again turned around."""
  arms = ('baseline', 'fs_ua', 'calibrated', 'label_mean', 'bayes')
  compared = arm_comparison.compare(of_maes(**{arm: [1, 2] for arm in arms}))
  assert [(each.arm, each.reference) for each in compared] == [
    *((arm, 'baseline') for arm in arms[1:]),
    *((arm, 'calibrated') for arm in ('fs_ua', 'label_mean', 'bayes')),
    ('bayes', 'label_mean'),
  ]


def test_differences_from_the_calibrated_baseline_are_of_the_one_family():
  """Ten speakers all helped: p is 2 / 1,024 three times."""
  compared = arm_comparison.compare(
    of_maes(baseline=[1] * 10, calibrated=[0.75] * 10, bayes=[0.5] * 10)
  )
  assert [(each.name, each.p_holm) for each in compared] == [
    ('Calibrated, no clips − Baseline', pytest.approx(6 / 1024)),
    ('Bayes − Baseline', pytest.approx(6 / 1024)),
    ('Bayes − Calibrated, no clips', pytest.approx(6 / 1024)),
  ]


def test_p_values_are_adjusted_as_one_family():
  """Ten speakers all helped: 2 of 1,024 sign patterns are as far from 0, three times."""
  compared = arm_comparison.compare(
    of_maes(baseline=[1] * 10, fs_ua=[0.5] * 10, fs_ua_kd=[0.25] * 10)
  )
  for each in compared:
    assert (each.p, each.p_holm) == pytest.approx((2 / 1024, 6 / 1024)) and each.is_real
  six = arm_comparison.compare(of_maes(baseline=[1] * 6, fs_ua=[0] * 6, fs_ua_kd=[0.5] * 6))
  assert (six[0].p, six[0].p_holm, six[0].is_real) == (2 / 64, 6 / 64, False)  # real if alone
  even = arm_comparison.compare(of_maes(baseline=[1, 1], fs_ua=[0.5, 1.5]))[0]
  assert (even.p, even.p_holm, even.is_real) == (1, 1, False)


@pytest.mark.parametrize(
  'low, high, sign',
  [(-2, -1, -1), (1, 2, 1), (-1, 1, 0), (-1, -0.0004, 0), (-1, -0.0006, -1), (0.0004, 1, 0)],
)
def test_the_sign_is_that_of_the_printed_interval(low, high, sign):
  assert arm_comparison.sign(Interval(0, low, high, 0)) == sign
  assert arm_comparison.sign(Interval(np.nan, np.nan, np.nan, 0)) == 0
