import pytest
from studies import of_mae, of_maes

from persona_jax.reporting import arm_comparison, differences, explanations
from persona_jax.reporting.scores import Scores


def section(scores):
  return differences.section(scores, arm_comparison.compare(scores))


def differing(**shifts):
  """Records of four speakers in which an arm errs by its shift more or less than 1."""
  return Scores.of(
    of_mae(user, arm, draw, 1 + shift[number])
    for arm, shift in shifts.items()
    for number, user in enumerate('abcd')
    for draw in (0, 1)
  )


def test_the_helped_and_the_harmed_are_counted():
  scores = differing(
    baseline=[0, 0, 0, 0], mean_shift=[0, 0, 0, 0.05], fs_ua=[-0.4, -0.3, -0.2, 0.3]
  )
  _, real, table, _, caveat, verdict = section(scores)
  rows = {line.split(' | ')[0]: line.split(' | ') for line in table.splitlines()}
  cells = rows['| FS-UA − Baseline']
  assert cells[1].startswith('-0.150 [') and cells[4:] == ['3 / 1', '1', 'd +0.300', '25% |']
  # Of 16 sign patterns, those with a mean as far from 0: sums 6, 12, 10, 8 (x 0.1), and opposites.
  assert float(cells[2]) == pytest.approx(8 / 16)
  assert rows['| Mean shift − Baseline'][7] == '0% |' and caveat == explanations.CAVEAT
  assert '| FS-UA − Mean shift' in rows and '| Mean shift − Baseline' in rows
  assert verdict.startswith('- FS-UA does not beat the mean shift')
  better = differing(mean_shift=[0, 0, 0, 0], fs_ua=[-0.4, -0.3, -0.2, -0.3])
  assert '- FS-UA beats the mean shift' in section(better)[-1]
  assert section(differing(baseline=[0, 0, 0, 0])) == []


def test_real_differences_are_counted_and_bold():
  """Of ten speakers, all are helped by one arm, p = 3 x 2 / 1,024; half of them by the other."""
  scores = of_maes(baseline=[1] * 10, fs_ua=[0.5] * 10, fs_ua_kd=[0.5, 1.5] * 5)
  _, real, table, *_ = section(scores)
  assert real == (
    '1 of 3 differences is told apart from chance, at p (Holm) of at most 0.05 (in bold).'
  )
  assert '| **FS-UA − Baseline** | -0.500 [-0.500, -0.500] | 0.002 | 0.006 | 10 / 0 | 0 |' in table
  assert table.count('**') == 2


def test_too_few_speakers_for_any_difference_to_be_real():
  """Of six speakers p is 2 / 64 = .031 at least: enough alone, not as one of three."""
  none = 'No difference is told apart from chance, at p (Holm) of at most 0.05.'
  assert section(of_maes(baseline=[1] * 6, fs_ua=[0, 2] * 3))[1] == none
  assert section(of_maes(baseline=[1] * 6, fs_ua=[0] * 6, fs_ua_kd=[0] * 6))[1] == (
    none + ' With 6 speakers, no p (Holm) can be so small.'
  )


def test_the_much_harmed_are_counted_by_their_means_over_draws():
  """Draws make a worse by .02 and .1, .06 in the mean; b by 0 and .08, .04 in the mean."""
  draws = dict(a=(0.02, 0.1), b=(0, 0.08), c=(-0.5, 0.5), d=(-0.1, -0.1))
  given = Scores.of(
    of_mae(user, arm, draw, 1 + (worse if arm == 'fs_ua' else 0))
    for arm in ('baseline', 'fs_ua')
    for user, pair in draws.items()
    for draw, worse in enumerate(pair)
  )
  _, _, table, *_ = section(given)
  header, _, row = table.splitlines()
  assert '| speakers helped / harmed | harmed by > 0.05 | worst speaker |' in header
  assert '| 1 / 2 | 1 | a +0.060 |' in row


def test_differences_from_the_calibrated_baseline_stand_below_those_from_the_baseline():
  arms = ('baseline', 'fs_ua', 'calibrated', 'bayes')
  _, _, table, *_ = section(of_maes(**{arm: [1, 2] for arm in arms}))
  assert [row.split(' | ')[0] for row in table.splitlines()[2:]] == [
    '| FS-UA − Baseline',
    '| Calibrated, no clips − Baseline',
    '| Bayes − Baseline',
    '| FS-UA − Calibrated, no clips',
    '| Bayes − Calibrated, no clips',
  ]


def test_an_arm_without_clips_need_not_beat_the_mean_shift():
  arms = ('baseline', 'mean_shift', 'calibrated', 'bayes')
  *_, verdicts = section(of_maes(**{arm: [1, 2] for arm in arms}))
  assert verdicts.startswith('- Bayes does not beat') and verdicts.count('\n') == 0
