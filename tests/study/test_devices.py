"""One study gives the same records on any number of devices and processes, and fold by fold."""

import csv
import json
import os
import pathlib
import random

import pytest
from launchers import personalised_alone, run, start
from makers import SMALLEST

pytestmark = pytest.mark.cpus

# How work is laid out doesn't depend on the model.
FLAGS = [*SMALLEST, '--config.study.num_users=2']
FIRST_USER = 'speaker04'


def devices(count: int) -> dict[str, str]:
  """The environment of a process that sees so many CPU devices."""
  return {'XLA_FLAGS': f'{os.environ["XLA_FLAGS"]} --xla_force_host_platform_device_count={count}'}


@pytest.fixture(scope='module')
def on_one_device(tmp_path_factory) -> pathlib.Path:
  workdir = tmp_path_factory.mktemp('one')
  run('study', *FLAGS, f'--workdir={workdir}', **devices(1))
  return workdir


def expect_same(workdir: pathlib.Path, expected: pathlib.Path) -> None:
  """XLA shares a sum among as many threads as it finds, so a last digit may differ."""
  tables = []
  for folder in (workdir, expected):
    with (folder / 'predictions.csv').open() as file:
      tables.append(list(csv.DictReader(file)))
  rows, expected_rows = tables
  assert len(rows) == len(expected_rows) > 0
  for row, other in zip(rows, expected_rows, strict=True):
    assert float(row.pop('prediction')) == pytest.approx(float(other.pop('prediction')), abs=1e-5)
    assert row == other


@pytest.fixture(scope='module')
def on_four_devices(tmp_path_factory) -> pathlib.Path:
  """Two folds in two rows of two devices; two devices train for nothing."""
  workdir = tmp_path_factory.mktemp('four')
  run('study', *FLAGS, f'--workdir={workdir}', **devices(4))
  return workdir


def test_folds_and_draws_spread_over_four_devices(on_four_devices, on_one_device):
  expect_same(on_four_devices, on_one_device)


def test_one_folds_draws_spread_over_three_devices(on_one_device, tmp_path):
  """Two folds one after the other, each with its draws on all three devices."""
  run('study', *FLAGS, f'--workdir={tmp_path}', **devices(3))
  expect_same(tmp_path, on_one_device)


def test_trained_on_four_devices_personalised_on_one(on_four_devices, on_one_device, tmp_path):
  with (on_one_device / 'predictions.csv').open() as file:
    study = {
      row['clip']: float(row['prediction'])
      for row in csv.DictReader(file)
      if (row['draw'], row['arm'], row['user']) == ('0', 'fs_ua_kd', FIRST_USER)
    }
  count = json.loads((on_one_device / 'corpus.json').read_text())['users'][FIRST_USER]
  support = [name for i in range(count) if (name := f'{FIRST_USER}[{i}]') not in study]
  alone = personalised_alone(
    FLAGS,
    on_four_devices,
    'fold_00_seed_0',
    FIRST_USER,
    'fs_ua_kd',
    support,
    tmp_path,
    **devices(1),
  )
  assert len(support) == 5 and study
  for clip, prediction in study.items():
    assert alone[clip] == pytest.approx(prediction, abs=1e-5)


def test_folds_as_jobs_of_their_own_merge_into_the_same_report(on_one_device, tmp_path):
  jobs = {'1': tmp_path / 'a', '0': tmp_path / 'b'}
  for folds, workdir in jobs.items():
    run('study', *FLAGS, f'--config.study.folds={folds}', f'--workdir={workdir}', **devices(1))
  lines = [
    line
    for workdir in jobs.values()
    for line in (workdir / 'records.jsonl').read_text().splitlines()
  ]
  assert sorted(lines) == sorted((on_one_device / 'records.jsonl').read_text().splitlines())
  merged = run('report', *(f'--workdir={workdir}' for workdir in jobs.values()))

  def tables(report):
    return report[report.index('## Table 1') : report.index('## Paired')]

  assert tables(merged) == tables((on_one_device / 'report.md').read_text())


def test_two_processes_share_a_study(on_one_device, tmp_path):
  """As Slurm would start them, told who they are by its variables."""
  slurm = dict(
    SLURM_JOB_ID=str(random.randrange(10**6)), SLURM_STEP_NODELIST='localhost', SLURM_NTASKS='2'
  )
  processes = [
    start(
      'study',
      *FLAGS,
      '--distributed',
      f'--workdir={tmp_path}',
      SLURM_PROCID=str(rank),
      SLURM_LOCALID=str(rank),
      **slurm,
      **devices(1),
    )
    for rank in range(2)
  ]
  outputs = [process.communicate() for process in processes]
  assert [process.returncode for process in processes] == [0, 0], outputs
  assert '## Table 3' in outputs[0][0]  # the second is quiet, but for XLA
  assert not [line for line in outputs[1][0].splitlines() if not line.startswith('[Gloo]')]
  expect_same(tmp_path, on_one_device)


def test_distributed_without_a_cluster_is_one_sentence(tmp_path):
  process = start('study', *FLAGS, '--distributed', f'--workdir={tmp_path}')
  _, errors = process.communicate()
  assert process.returncode == 1
  assert '--distributed: no other processes found' in errors and 'Traceback' not in errors
