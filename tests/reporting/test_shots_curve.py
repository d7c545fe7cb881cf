import numpy as np
import pytest
from studies import of_mae, scores, write

from persona_jax.reporting import records, shots_curve
from persona_jax.reporting.document import Figures
from persona_jax.reporting.scores import Scores


def section(given):
  curves, gains = list(shots_curve.curves(given)), shots_curve.gains(given)
  return shots_curve.section(given, curves, gains, Figures({}))


def test_the_tables_show_the_records_numbers(tmp_path):
  workdir = write(tmp_path, all_shots=(1, 5))
  lines = list(records.read([workdir]))

  def mae(arm, shots):
    return np.mean([r['mae'] for r in lines if (r['arm'], r['num_support']) == (arm, shots)])

  title, beside = section(scores(workdir))
  assert title == '## MAE by the number of support clips'
  assert '| arm | 1 clip | 5 clips |' in beside.text and '| Baseline |' not in beside.text
  values, gains = [line for line in beside.text.splitlines() if line.startswith('| FS-UA-KD')]
  assert [float(cell.split()[0]) for cell in values.split('|')[2:4]] == [
    round(mae('fs_ua_kd', shots), 3) for shots in (1, 5)
  ]
  assert [float(cell.split()[0]) for cell in gains.split('|')[2:4]] == pytest.approx(
    [mae('fs_ua_kd', shots) - mae('baseline', 5) for shots in (1, 5)], abs=6e-4
  )


def test_one_number_of_clips_makes_no_curve(tmp_path):
  assert section(scores(write(tmp_path))) == []


def test_an_arm_without_a_number_of_clips_has_a_dash():
  given = Scores.of(
    [
      of_mae('a', 'fs_ua', 0, 2.0, num_support=1),
      of_mae('a', 'fs_ua', 0, 1.0, num_support=5),
      of_mae('a', 'fs_base', 0, 3.0, num_support=5),
    ]
  )
  _, beside = section(given)
  assert '| FS, base only | – | 3.000 [3.000, 3.000] |' in beside.text
  assert 'paired difference' not in beside.text  # there is no baseline


def test_arms_without_clips_are_rows_to_compare_with():
  """User b has no 10 clips: what stands beside the arm at 10 clips is of user a alone."""
  given = Scores.of(
    [
      *(of_mae(user, 'baseline', 0, mae) for user, mae in (('a', 1), ('b', 3))),
      *(of_mae(user, 'bayes', 0, mae, num_support=1) for user, mae in (('a', 0.5), ('b', 1.5))),
      of_mae('a', 'bayes', 0, 0.25, num_support=10),
      *(of_mae(user, 'calibrated', 0, mae) for user, mae in (('a', 0.75), ('b', 1.25))),
    ]
  )
  _, beside = section(given)
  means, from_baseline, from_calibrated, _, users = beside.text.split('\n\n')
  assert [_means(row) for row in means.splitlines()[2:]] == [
    ['Baseline', 2.0, 1.0],
    ['Calibrated, no clips', 1.0, 0.75],
    ['Bayes', 1.0, 0.25],
  ]
  assert [_means(row) for row in from_baseline.splitlines()[2:]] == [
    ['Calibrated, no clips − Baseline', -1.0, -0.25],
    ['Bayes − Baseline', -1.0, -0.75],
  ]
  assert [_means(row) for row in from_calibrated.splitlines()[2:]] == [
    ['Bayes − Calibrated, no clips', 0.0, -0.5]
  ]
  assert users == (
    'Not every user has enough clips for every number: there are 2 users with 1 clip and 1 user '
    'with 10 clips.'
  )


def _means(row):
  name, *cells = row.strip('| ').split(' | ')
  return [name, *(float(cell.split()[0]) for cell in cells)]


def test_the_baseline_alone_is_no_row_and_nobody_is_missing(tmp_path):
  _, beside = section(scores(write(tmp_path, all_shots=(1, 5))))
  assert '| Baseline |' not in beside.text and 'Not every user' not in beside.text
  assert beside.text.count('| --- |\n') == 2
