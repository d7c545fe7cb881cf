"""Runs compared: pair by pair, and only where both were scored on the same clips."""

import csv
import json

import numpy as np
import pytest
from studies import GROUPED, write

from persona_jax import files
from persona_jax.errors import UserError
from persona_jax.reporting import explanations, records, run_comparison


def test_runs_are_compared_pair_by_pair(tmp_path):
  one, two = write(tmp_path / 'one'), write(tmp_path / 'two', gain=0.4)
  assert run_comparison.share_trials([one, two]) and not run_comparison.share_trials([one])
  text = run_comparison.compare([one, two])
  means = {}
  for name, workdir in (('one', one), ('two', two)):
    means[name] = np.mean([r['mae'] for r in records.read([workdir]) if r['arm'] == 'fs_ua'])
  assert (
    f'## {two}\n' in text
    and 'In brackets: 95% interval of the mean over 3 users, 1 seed and 3 draws.' in text
  )
  assert (
    f'| FS-UA | 5 | {means["one"]:.3f} | {means["two"]:.3f} | {means["two"] - means["one"]:+.3f} ['
  ) in text
  three = write(tmp_path / 'three', arms=('fs_base',))
  assert text + f'\n## {three}\n\nIt has no trial of {one}.\n' == run_comparison.compare(
    [one, two, three]
  )
  (row,) = [line for line in text.splitlines() if line.startswith('| Baseline')]
  assert '+0.000 [+0.000, +0.000] | 1.000 |' in row


def test_runs_with_other_query_clips_are_not_paired(tmp_path):
  one, two = write(tmp_path / 'one'), write(tmp_path / 'two', clips=8)
  with pytest.raises(
    UserError, match='user ann, arm baseline, seed 0, draw 0 was scored on 9 clips'
  ):
    run_comparison.compare([one, two])


def test_runs_of_other_shots_were_scored_on_other_clips(tmp_path):
  """With 5 and 10 clips to learn from, all are scored on own minus 10; with 5, on own minus 5."""
  one = write(tmp_path / 'one', own=20, clips=15)
  several = write(tmp_path / 'several', own=20, clips=10, all_shots=(5, 10))
  for pair in ([one, several], [several, one]):
    assert run_comparison.share_trials(pair)
    with pytest.raises(
      UserError,
      match=r'user ann, arm baseline, seed 0, draw 0 was scored on 1[05] '
      r'clips in the first and on 1[05] in the second, ann\[5\] only in ',
    ):
      run_comparison.compare(pair)


def test_runs_of_one_and_of_several_shots_on_the_same_clips_are_paired(tmp_path):
  one = write(tmp_path / 'one', own=20, clips=10)
  several = write(tmp_path / 'several', own=20, clips=10, all_shots=(5, 10), gain=0.4)
  text = run_comparison.compare([one, several])
  assert '| FS-UA | 5 |' in text and '| FS-UA | 10 |' not in text


def without_predictions(workdir, arm):
  path = workdir / files.PREDICTIONS
  rows = list(csv.reader(path.read_text().splitlines()))
  path.write_text('\n'.join(','.join(row) for row in rows if row[1] != arm) + '\n')


def test_a_trial_without_predictions_is_not_paired(tmp_path):
  one, two = write(tmp_path / 'one'), write(tmp_path / 'two')
  without_predictions(two, 'fs_ua')
  for pair in ([one, two], [two, one]):
    with pytest.raises(
      UserError, match='two/predictions.csv: no predictions of user ann, arm fs_ua'
    ):
      run_comparison.compare(pair)
  without_predictions(one, 'fs_ua')  # in neither: still not known to be the same clips
  with pytest.raises(UserError, match='one/predictions.csv: no predictions of user ann, arm fs_ua'):
    run_comparison.compare([one, two])


def test_another_label_of_a_clip_is_not_paired(tmp_path):
  one, two = write(tmp_path / 'one'), write(tmp_path / 'two')
  path = two / files.PREDICTIONS
  lines = path.read_text().splitlines()
  row = lines[1].split(',')
  path.write_text('\n'.join([lines[0], ','.join([*row[:5], '3.0', row[6]]), *lines[2:]]) + '\n')
  with pytest.raises(
    UserError,
    match=rf'was scored with label {row[5]} of ann\[5\] in the first and '
    '3.0 in the second',
  ):
    run_comparison.compare([one, two])


def test_one_shot_predictions_get_their_shots_from_the_records(tmp_path):
  workdir = write(tmp_path)
  assert {row.trial.num_support for row in records.read_predictions(workdir)} == {5}
  path = workdir / files.RECORDS
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  lines[0]['num_support'] = 6
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
  with pytest.raises(UserError, match='no column num_support, though records.jsonl has 2 numbers'):
    list(records.read_predictions(workdir))


def test_differences_between_runs_have_holms_p_values_and_the_caveat(tmp_path):
  users = [f'user{number}' for number in range(10)]
  arms = ('baseline', 'mean_shift', 'fs_ua')
  one, two = (
    write(tmp_path / str(gain), arms, users=users, everybody=users, gain=gain)
    for gain in (0.1, 0.2)
  )
  text = run_comparison.compare([one, two])
  rows = {
    row.split(' | ')[0]: row.split(' | ') for row in text.splitlines() if row.startswith('| ')
  }
  assert rows['| arm'][5:] == ['p', 'p (Holm) |']
  # No difference in the baseline; ten speakers alike in the others: 2 / 1,024, three times.
  assert [rows[name][5:] for name in ('| Baseline', '| Mean shift', '| FS-UA')] == [
    ['1.000', '1.000 |'],
    ['0.002', '0.006 |'],
    ['0.002', '0.006 |'],
  ]
  assert explanations.holm_note(3) in text and explanations.MEAN_SHIFT_NOTE in text
  assert explanations.MEAN_SHIFT_NOTE not in run_comparison.compare(
    [write(tmp_path / name) for name in 'ab']
  )
  unseen = [write(tmp_path / name, arms, config=GROUPED) for name in 'cd']
  assert explanations.MEAN_SHIFT_NOTE not in run_comparison.compare(unseen)
