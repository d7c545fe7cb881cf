"""What launch.check_data shows."""

import json

import pytest
from makers import write_corpus

from configs import mosi
from persona_jax.data import feature_facts, inspection, loading
from persona_jax.reporting import data_check


@pytest.fixture
def config(tmp_path):
  config = mosi.get_config()
  config.data.update(root=str(tmp_path), **write_corpus(tmp_path, {'va': 3, 'vb': 2, 'vc': 4}))
  return config


def inspected(config):
  return inspection.inspect(loading.load(feature_facts.uncut(config)), config)


def test_every_fact_is_in_the_tables(config):
  config.data.frames_per_second.vision, config.data.max_steps.audio = 5, 20
  config.study.update(num_users=2, num_support=3)
  lines = data_check.markdown(inspected(config), None).splitlines()
  assert '9 labelled clips of 3 speakers. A study can run.' in lines
  assert '| audio | covarep.csd | any root | 74 | 3 | 3 | 225 |' in lines
  assert (
    '| audio | 74 | COVAREP, at 12.5 frames a second instead of 100 | 12.5 | 12.5 | 0 | 0 | 0 |'
    in lines
  )
  assert '| vision | 47 | FACET 4.1 | 15 | 5 | 0 | 0 | 0 |' in lines
  assert '| language | 5 | no known release | 2 | 2 | 0 | 0 | 0 |' in lines
  assert '| found | 9 |  |' in lines and '| with every modality | 9 |  |' in lines
  assert '| audio | 25 | 25 | 25 | 25 | 25 | 20 | 9 | 45 (20.0%) | 0 |' in lines
  assert '| vision | 10 | 10 | 10 | 10 | 10 | 500 | 0 | 0 | 0 |' in lines
  assert '| speakers | 3 | 0 | 0 | 0 | 0 |' in lines
  assert '| leave_one_out | 2 | vc (4), va (3) | 4 | 1 | va (3) | possible |' in lines
  (row,) = [line for line in lines if line.startswith('| grouped')]
  assert row.startswith('| grouped | 3 | vc (4), va (3), vb (2) | 8 | 0 | vc (4), va (3), vb (2) |')
  assert 'too few for config.study.num_groups = 10' in row


def test_json_has_the_same_and_the_problem(config):
  found = inspected(config)
  facts = json.loads(data_check.as_json(found, 'too few'))
  assert facts['problem'] == 'too few' and facts['clips_found'] == 9
  assert facts['files']['audio']['num_frames'] == 225
  assert facts['modalities']['audio']['lengths'] == dict.fromkeys(
    ('50', '90', '95', '99', '100'), 25
  )
  assert facts['protocols']['leave_one_out']['asked']['first'] == ['vc (4)', 'va (3)', 'vb (2)']
  assert json.loads(data_check.as_json(found, None))['problem'] is None
  assert 'A study cannot run: too few' in data_check.markdown(found, 'too few')


def test_names_are_text(config, tmp_path):
  (tmp_path / 'who.csv').write_text('video,speaker\nva,a|b\nvb,<b>\nvc,c\n')
  config.data.speakers = 'who.csv'
  shown = data_check.markdown(inspected(config), None)
  assert 'c (4), a\\|b (3), \\<b\\> (2)' in shown


def test_columns_and_shares_are_shortened():
  assert data_check._columns(range(20)) == '20 (0, 1, 2, 3, 4, 5, 6, 7, ...)'
  assert data_check._columns({3: 7}) == '1 (3)'
  assert data_check._share(1, 3) == '1 (33.3%)' and data_check._share(0, 0) == '0'
