"""A study of an emotion of CMU-MOSEI: its records, its report, and what it refuses."""

import json

import h5py
import makers
import numpy as np
import pooling
import pytest

from configs import mosi
from persona_jax.data import loading
from persona_jax.errors import UserError
from persona_jax.evaluation import metrics
from persona_jax.predictor import training
from persona_jax.study import leave_one_speaker_out
from persona_jax.targets import COLUMNS

ARMS = ('baseline', 'mean_shift', 'calibrated', 'fs_ua_kd', 'bayes_kd')


@pytest.fixture(scope='module')
def config(tmp_path_factory):
  """Eighteen speakers whose labels are 0 in half of the clips, and out of range in one."""
  root = tmp_path_factory.mktemp('mosei')
  files = makers.write_corpus(root, {f'v{n:02d}': 14 for n in range(18)})
  random = np.random.default_rng(1)
  with h5py.File(root / files['labels'], 'a') as file:
    for number, (_, entry) in enumerate(file['any root/data'].items()):
      labels = random.integers(-9, 10, (14, len(COLUMNS))) / 3
      labels[:, 1:] = np.clip(labels[:, 1:], 0, 3)
      if number == 0:
        labels[3, 1:] = 3.5
      del entry['features']
      entry['features'] = labels
  config = mosi.get_config('grouped,smoke')
  config.data.update(root=str(root), target='happiness', **files)
  config.model.update(name=pooling.NAME, modalities=('language',))
  config.pretrain.valid_speakers = 0.35
  config.study.update(arms=ARMS, controls=('other',), folds=(0,))
  return config


@pytest.fixture(scope='module')
def finished(tmp_path_factory, config):
  workdir = tmp_path_factory.mktemp('study')
  leave_one_speaker_out.run(config, workdir)
  return workdir


def test_records_have_the_metrics_of_emotions(finished):
  records = [json.loads(line) for line in (finished / 'records.jsonl').read_text().splitlines()]
  assert {record['arm'] for record in records} == set(ARMS)
  for record in records:
    assert set(metrics.OF_EMOTIONS) < set(record) and 'acc7' not in record
  bayes = [record for record in records if record['arm'] == 'bayes_kd']
  assert 0.75 < np.mean([record['coverage'] for record in bayes]) <= 1
  calibrated = [record['mae'] for record in records if record['arm'] == 'calibrated']
  assert np.mean(calibrated) < 1.1  # labels have a mean deviation of 1.0 from their mean


def test_predictions_are_in_the_range_of_the_labels(finished):
  header, *lines = (finished / 'predictions.csv').read_text().splitlines()
  fields = header.split(',')
  for line in lines:
    row = dict(zip(fields, line.split(','), strict=True))
    assert 0 <= float(row['label']) <= 3
    if row['arm'] in ('calibrated', 'bayes_kd'):
      assert 0 <= float(row['low']) <= float(row['prediction']) <= float(row['high']) <= 3


def test_the_report_is_of_the_emotion(finished):
  report = (finished / 'report.md').read_text()
  assert 'in points of happiness from 0 to 3' in report
  assert '| arm | MAE | Corr | WAcc | F1 |' in report
  assert 'sentiment' not in report.replace('_sentiment', '') and ', paper' not in report
  assert r'v00\[3\]: its happiness is 3.5, expected 0 to 3' in report
  controls = (finished / 'controls/other/records.jsonl').read_text().splitlines()
  assert controls and all('wacc' in json.loads(line) for line in controls)


def test_no_other_column_changes_a_clip(config):
  loaded = loading.load(config)
  assert len(loaded.names) == 18 * 14 - 1 and loaded.labels.max() <= 3 and loaded.labels.min() == 0


def test_a_predictor_for_new_people_is_of_sentiment_alone(config, tmp_path):
  with pytest.raises(UserError, match="config.data.target = 'happiness': predictors for new"):
    training.train(config, tmp_path / 'predictor')
