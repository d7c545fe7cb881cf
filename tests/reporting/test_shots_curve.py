import numpy as np
import pytest
from studies import of_mae, scores, write

from persona_jax.reporting import records, shots_curve
from persona_jax.reporting.document import Figures
from persona_jax.reporting.scores import Scores


def section(given):
  return shots_curve.section(given, list(shots_curve.curves(given)), Figures({}))


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
