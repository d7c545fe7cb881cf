"""The Bayesian arms in a whole study of held-out groups: their records, and what is reused."""

import csv
import json

import numpy as np
import pytest
from makers import smallest_grouped

from persona_jax.arms import BAYESIAN, WITHOUT_CLIPS
from persona_jax.errors import UserError
from persona_jax.study import leave_one_speaker_out, teacher_predictions

ARMS = ('baseline', 'fs_ua_kd', *BAYESIAN)


def grouped(**study):
  return smallest_grouped(**dict(shots=(1, 5), arms=ARMS) | study)


def records_of(workdir):
  return [json.loads(line) for line in (workdir / 'records.jsonl').read_text().splitlines()]


def rows_of(workdir):
  with (workdir / 'predictions.csv').open() as file:
    return list(csv.DictReader(file))


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('grouped')
  leave_one_speaker_out.run(grouped(), workdir)
  return workdir


def test_every_user_has_every_arm_and_arms_without_clips_once_per_draw(finished):
  records = records_of(finished)
  users = json.loads((finished / 'corpus.json').read_text())['users']
  assert len(users) > 15 and set(users) == {record['user'] for record in records}
  for user in users:
    own = [record for record in records if record['user'] == user]
    for arm in ARMS:
      shots = [record['num_support'] for record in own if record['arm'] == arm]
      assert sorted(shots) == ([5, 5] if arm in WITHOUT_CLIPS else [1, 1, 5, 5])
    assert len({record['num_query'] for record in own}) == 1


def test_bayesian_arms_have_intervals_that_hold_their_predictions(finished):
  covered = {record['arm']: 'coverage' in record for record in records_of(finished)}
  assert {arm for arm, has in covered.items() if has} == set(BAYESIAN)
  for row in rows_of(finished):
    if row['arm'] in BAYESIAN:
      assert float(row['low']) <= float(row['prediction']) <= float(row['high'])
    else:
      assert (row['low'], row['high']) == ('', '')
  coverage = [record['coverage'] for record in records_of(finished) if 'coverage' in record]
  assert 0.8 < np.mean(coverage) < 0.99


def test_coverage_is_recomputed_from_the_predictions(finished):
  record = next(record for record in records_of(finished) if record['arm'] == 'bayes')
  name = {field: str(record[field]) for field in ('user', 'arm', 'seed', 'draw', 'num_support')}
  rows = [row for row in rows_of(finished) if name.items() <= row.items()]
  inside = [float(row['low']) <= float(row['label']) <= float(row['high']) for row in rows]
  assert len(rows) == record['num_query'] and record['coverage'] == np.mean(inside)


def test_calibration_uses_no_clip_and_the_label_mean_does(finished):
  """A clip has one calibrated prediction in all draws, and several with its user's labels."""
  by_arm = {arm: {} for arm in ('calibrated', 'label_mean')}
  for row in rows_of(finished):
    if row['arm'] in by_arm:
      by_arm[row['arm']].setdefault(row['clip'], set()).add(row['prediction'])
  assert all(len(values) == 1 for values in by_arm['calibrated'].values())
  assert any(len(values) > 1 for values in by_arm['label_mean'].values())


def test_running_again_reads_what_the_teachers_read_and_keeps_the_bytes(finished, monkeypatch):
  before = [(finished / name).read_bytes() for name in ('records.jsonl', 'predictions.csv')]
  monkeypatch.setattr(teacher_predictions, '_Program', None)  # to read again would fail
  leave_one_speaker_out.run(grouped(), finished)
  after = [(finished / name).read_bytes() for name in ('records.jsonl', 'predictions.csv')]
  assert after == before


def test_chosen_clips_do_not_teach_the_label_mean(finished, tmp_path):
  """Then the label mean has nothing to go by, and is the calibrated prediction."""
  config = grouped(arms=('baseline', 'calibrated', 'label_mean'), shots=(5,), folds=(0,))
  config.adapt.support = 'chosen'
  leave_one_speaker_out.run(config, tmp_path)
  predictions = {}
  for row in rows_of(tmp_path):
    predictions.setdefault(row['arm'], []).append(float(row['prediction']))
  np.testing.assert_allclose(predictions['label_mean'], predictions['calibrated'], atol=1e-6)


@pytest.mark.parametrize(
  'study, validation, said',
  [
    ({}, 'clips', "'speakers' for the arm calibrated, which learns from unseen speakers"),
    (dict(arms=('baseline', 'bayes_kd')), 'speakers', 'fs_ua_kd among them, which bayes_kd'),
    (dict(num_groups=12), 'speakers', 'speakers have at least 4 clips, expected at least 4'),
  ],
)
def test_what_a_bayesian_arm_needs_is_said_before_anything_is_written(
  study, validation, said, tmp_path
):
  config = grouped(**study)
  config.pretrain.validation = validation
  config.pretrain.valid_speakers = 0.1
  with pytest.raises(UserError, match=said):
    leave_one_speaker_out.run(config, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_controls_are_recorded(tmp_path):
  config = grouped(arms=('baseline', 'joint'), shots=(5,), folds=(0,), support='one_sided')
  leave_one_speaker_out.run(config, tmp_path / 'one')
  supports = {record['support'] for record in records_of(tmp_path / 'one')}
  assert supports <= {'one_sided', 'random'} and 'one_sided' in supports
  config = grouped(arms=('baseline', 'joint'), shots=(5,), folds=(0,), support_from='other')
  leave_one_speaker_out.run(config, tmp_path / 'other')
  assert {record['support_from'] for record in records_of(tmp_path / 'other')} == {'other'}


def test_fewer_shots_learn_from_the_first_clips_alone(finished, tmp_path):
  """Supports are padded to the most shots, and padding counts for nothing."""
  alone = grouped(arms=('baseline', 'joint'), num_support=1, shots=(), folds=(0,))
  leave_one_speaker_out.run(alone, tmp_path)
  single = {(row['clip'], row['draw']): row for row in rows_of(tmp_path) if row['arm'] == 'joint'}
  compared = 0
  for row in rows_of(finished):
    key = row['clip'], row['draw']
    if row['arm'] == 'joint' and row['num_support'] == '1' and key in single:
      assert float(row['prediction']) == pytest.approx(float(single[key]['prediction']), abs=1e-4)
      compared += 1
  assert compared > 20
