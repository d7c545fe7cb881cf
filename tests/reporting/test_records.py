import csv
import json

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from persona_jax.errors import UserError
from persona_jax.reporting import records
from persona_jax.reporting.scores import Scores


def trial(user='ann', arm='baseline', draw=0, shift=0.0, count=9, shots=5, seed=0):
  random = np.random.default_rng(draw + len(user))
  labels = (np.round(random.uniform(-3, 3, count) * 5) / 5).astype(np.float32)
  predictions = (labels + random.normal(0, 1, count) + shift).astype(np.float32)
  return records.Trial(
    user, arm, seed, draw, shots, tuple(f'{user}[{i}]' for i in range(count)), labels, predictions
  )


TRIALS = [
  trial(user, arm, draw, shift)
  for user in ('ann', 'robert')
  for arm, shift in (('baseline', 1.0), ('fs_ua', 0.5))
  for draw in (0, 1)
]


def test_records_can_be_recomputed_from_the_predictions(tmp_path):
  records.write(tmp_path, TRIALS)
  with (tmp_path / 'predictions.csv').open() as file:
    rows = list(csv.DictReader(file))
  assert list(rows[0]) == ['user', 'arm', 'seed', 'draw', 'clip', 'label', 'prediction']
  read = list(records.read([tmp_path]))
  assert len(read) == 8
  for record in read:
    mine = [r for r in rows if all(r[k] == str(record[k]) for k in ('user', 'arm', 'seed', 'draw'))]
    labels, predictions = (np.array([float(r[k]) for r in mine]) for k in ('label', 'prediction'))
    assert record['num_query'] == len(mine) == 9
    assert record['mae'] == pytest.approx(abs(labels - predictions).mean(), abs=1e-9)
    assert record['corr'] == pytest.approx(stats.pearsonr(labels, predictions)[0], abs=1e-9)
    some = labels != 0
    assert record['f1_non0'] == pytest.approx(
      sklearn_metrics.f1_score(labels[some] > 0, predictions[some] > 0, average='weighted'),
      abs=1e-9,
    )


def test_labels_are_written_as_they_were_scored(tmp_path):
  records.write(tmp_path, [trial()])
  labels = {line.split(',')[5] for line in (tmp_path / 'predictions.csv').read_text().split()[1:]}
  assert all(len(label) <= 4 for label in labels)  # -2.4, not -2.4000000953674316


def test_undefined_is_null(tmp_path):
  constant = trial()
  constant = records.Trial(
    'ann', 'fs_ua', 0, 0, 5, constant.clips, constant.labels, np.zeros(9, np.float32)
  )
  records.write(tmp_path, [constant])
  assert json.loads((tmp_path / 'records.jsonl').read_text())['corr'] is None
  assert np.isnan(Scores.of(records.read([tmp_path])).values('corr', 'fs_ua').table).all()


def test_writing_leaves_no_other_file_behind(tmp_path):
  records.write(tmp_path, TRIALS)
  records.write(tmp_path, TRIALS)
  assert sorted(p.name for p in tmp_path.iterdir()) == ['predictions.csv', 'records.jsonl']


def test_several_shots_have_a_column_of_their_own(tmp_path):
  records.write(tmp_path, [trial(arm='fs_ua', shots=shots) for shots in (1, 5)])
  with (tmp_path / 'predictions.csv').open() as file:
    rows = list(csv.DictReader(file))
  assert list(rows[0])[-1] == 'num_support' and {row['num_support'] for row in rows} == {'1', '5'}
  assert [record['num_support'] for record in records.read([tmp_path])] == [1, 5]


def test_workdirs_merge_but_never_double(tmp_path):
  one, two = tmp_path / 'one', tmp_path / 'two'
  for folder, part in ((one, TRIALS[:4]), (two, TRIALS[4:])):
    folder.mkdir()
    records.write(folder, part)
  assert len(list(records.read([one, two]))) == 8
  with pytest.raises(UserError, match='user ann, arm baseline, seed 0, draw 0 is also in'):
    list(records.read([one, one]))


def test_broken_and_absent_records_are_named(tmp_path):
  with pytest.raises(UserError, match='records.jsonl: no such file; run launch.study'):
    list(records.read([tmp_path]))
  records.write(tmp_path, TRIALS[:1])
  with (tmp_path / 'records.jsonl').open('a') as file:
    file.write('{"user": "ann"\n')
  with pytest.raises(UserError, match='records.jsonl, line 2: not JSON'):
    list(records.read([tmp_path]))
