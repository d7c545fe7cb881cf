"""Any name survives being written and read; a file is replaced whole or not at all."""

import json
import os
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from persona_jax import files
from persona_jax.errors import UserError
from persona_jax.reporting import records
from persona_jax.reporting.scores import Scores

NAMES = (
  'Doe, Jane',
  'a "b" c',
  'line\nbreak',
  'carriage\rreturn',
  '\r\n',
  '=1+1',
  ' x ',
  '',
  'Zoë',
  '山田',
  '\x00',
  '\u2028',
  '\ud800',
  'a\x85b',
  "'",
  '\\',
  'NaN',
)
any_name = strategies.text(strategies.characters(exclude_categories=()))
settings = hypothesis.settings(
  max_examples=50,
  deadline=None,
  database=None,
  derandomize=True,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


def expect_round_trip(workdir, user, clip):
  trials = [
    records.Trial(
      user,
      'fs_ua',
      0,
      0,
      shots,
      (clip, f'{clip}2'),
      np.array([1, -2], np.float32),
      np.array([0.5, 0.25], np.float32),
    )
    for shots in (1, 5)
  ]
  for some in (trials, trials[:1]):  # with a column for the shots, and without
    records.write(workdir, some)
    assert [record['user'] for record in records.read([workdir])] == [user] * len(some)
    read = list(records.read_predictions(workdir))
    names = [(user, clip), (user, f'{clip}2')] * len(some)
    assert [(row.trial.user, row.clip) for row in read] == names
    assert read[1][2:] == (-2, 0.25)
    assert Scores.of(records.read([workdir])).num_query(read[0].trial) == 2
  records.write_curves(workdir, {(user, 3): np.array([[2, 1.5], [1, 1.25]])})
  assert records.read_curves([workdir])[1] == dict(user=user, seed=3, epoch=2, train=1, valid=1.25)
  files.write_json(workdir / 'x.json', {user: clip})
  assert files.read_json(workdir / 'x.json') == {user: clip}
  files.write_text(workdir / 'x.txt', user)
  assert files.read_text(workdir / 'x.txt') == user


@pytest.mark.parametrize('name', NAMES)
def test_names_survive(tmp_path, name):
  expect_round_trip(tmp_path, name, f'{name}[0]')


@settings
@hypothesis.given(user=any_name, clip=any_name)
def test_any_name_survives(tmp_path, user, clip):
  expect_round_trip(tmp_path, user, clip)


def test_ordinary_files_have_the_bytes_they_always_had(tmp_path):
  labels, predictions = np.array([2.4, -1], np.float32), np.array([0.1, 1], np.float32)
  trial = records.Trial('ann', 'fs_ua', 0, 1, 5, ('v[0]', 'v,1'), labels, predictions)
  records.write(tmp_path, [trial])
  assert (tmp_path / files.PREDICTIONS).read_bytes() == (
    b'user,arm,seed,draw,clip,label,prediction\nann,fs_ua,0,1,v[0],2.4,0.1\n'
    b'ann,fs_ua,0,1,"v,1",-1.0,1.0\n'
  )
  records.write_curves(tmp_path, {('ann', 0): np.array([[2, 1 / 3]])})
  assert (tmp_path / files.CURVES).read_bytes() == (
    b'user,seed,epoch,train,valid\nann,0,1,2.0,0.33333334\n'
  )


def test_files_are_utf_8_whatever_the_locale(tmp_path):
  code = (
    'import pathlib; from persona_jax import files; '
    f'path = pathlib.Path({str(tmp_path / "x.txt")!r}); files.write_text(path, "Zo\\u00eb\\n"); '
    'assert files.read_text(path) == "Zo\\u00eb\\n"'
  )
  environment = os.environ | dict(LC_ALL='C', PYTHONCOERCECLOCALE='0', PYTHONUTF8='0')
  subprocess.run([sys.executable, '-c', code], env=environment, check=True)
  assert (tmp_path / 'x.txt').read_bytes() == 'Zoë\n'.encode()


def test_what_fails_on_the_way_leaves_the_old_file(tmp_path):
  files.write_text(tmp_path / 'x', 'old')
  with pytest.raises(ZeroDivisionError):
    with files.replacing(tmp_path / 'x') as file:
      file.write('new')
      raise ZeroDivisionError
  assert (tmp_path / 'x').read_text() == 'old' and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
  'name, content, said',
  [
    ('records.jsonl', b'\xff\n', 'line 1: not JSON'),
    ('records.jsonl', b'3\n', 'line 1: not a JSON object'),
    ('records.jsonl', b'{"user": "ann"}\n', 'line 1: no field arm'),
    ('curves.csv', b'user,seed\n', 'no column epoch'),
    ('curves.csv', b'\xff', 'not a table of text'),
    (
      'curves.csv',
      b'user,seed,epoch,train,valid\nDoe, Jane,0,1,2,3\n',
      'line 2: 6 values, expected 5',
    ),
    (
      'curves.csv',
      b'user,seed,epoch,train,valid\nann,x,1,2,3\n',
      "invalid .* 'x'; expected a number",
    ),
    ('config.json', b'\xff', 'not JSON'),
    ('config.json', b'[]', 'holds no JSON object'),
  ],
)
def test_broken_files_are_one_sentence(tmp_path, name, content, said):
  (tmp_path / name).write_bytes(content)
  with pytest.raises(UserError, match=f'{name}.* {said}'):
    if name == files.CONFIG:
      files.read_json(tmp_path / name)
    else:
      list(records.read([tmp_path])) if name == files.RECORDS else records.read_curves([tmp_path])


@pytest.mark.parametrize(
  'field, value, said',
  [
    ('arm', 'magic', "arm 'magic'; expected one of baseline"),
    ('seed', None, 'seed is None; expected a number'),
    ('mae', 'good', "mae is 'good'; expected a number"),
    ('user', 7, 'user is 7; expected text'),
  ],
)
def test_records_that_no_study_writes_are_named(tmp_path, field, value, said):
  trial = records.Trial('ann', 'fs_ua', 0, 0, 5, ('v[0]',), np.ones(1), np.ones(1))
  (tmp_path / files.RECORDS).write_text(json.dumps(trial.record | {field: value}) + '\n')
  with pytest.raises(UserError, match=f'records.jsonl, line 1: {said}'):
    list(records.read([tmp_path]))
