"""The run's folder: the right run, one writer, and what is written whole or not at all."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from configs import synthetic
from persona_jax import provenance, workdir as work
from persona_jax.data import corpus as data_corpus
from persona_jax.errors import UserError
from persona_jax.reporting import records


@pytest.fixture
def config():
  return synthetic.get_config('smoke')


@pytest.fixture
def corpus(config):
  return data_corpus.load(config)


def test_corpus_file_is_of_the_studys_users_wherever_they_rank(corpus, tmp_path):
  later = [user for user, _ in data_corpus.users_by_clips(corpus)[2:4]]
  work.note_corpus(tmp_path, corpus, later)
  written = json.loads((tmp_path / 'corpus.json').read_text())
  assert list(written['users']) == list(written['oracle_mae']) == later
  assert written['users'][later[0]] == corpus.speakers.count(later[0])


def test_another_config_is_refused_field_by_field(config, tmp_path):
  work.begin(tmp_path, config)
  config.model.width, config.study.num_draws = 16, 3
  with pytest.raises(UserError, match='config.model.width is 8 there and 16 now; '
                                      'config.study.num_draws is 2 there and 3 now'):
    work.begin(tmp_path, config)


def test_the_same_files_may_lie_elsewhere(tmp_path):
  from configs import mosi
  config = mosi.get_config('smoke')
  work.begin(tmp_path, config)
  before = provenance.config_hash(config)
  config.data.root, config.data.labels = '/elsewhere', 'other.csd'
  config.study.attention = not config.study.attention
  work.begin(tmp_path, config)
  assert provenance.config_hash(config) == before
  config.data.missing = 'drop'
  assert provenance.config_hash(config) != before


@pytest.mark.parametrize('part', ['labels', 'audio', 'clips'])
def test_other_data_are_refused_part_by_part(part, config, corpus, tmp_path):
  work.note_corpus(tmp_path, corpus, ['speaker00'])
  work.note_corpus(tmp_path, corpus, ['speaker00'])
  other = data_corpus.load(config)
  if part == 'labels':
    other.labels[3] += np.float32(1e-6)
  elif part == 'audio':
    other.clips.sequences['audio'][-1, -1, -1] += 1
  else:
    object.__setattr__(other, 'speakers', ('x', *other.speakers[1:]))
  with pytest.raises(UserError, match=f'begun with other data; {part} differ'):
    work.note_corpus(tmp_path, other, ['speaker00'])


HOLD = ('import pathlib, sys; from persona_jax import workdir\n'
        'with workdir.held(pathlib.Path(sys.argv[1])): print("held", flush=True); sys.stdin.read()')


def test_a_second_writer_is_refused_by_the_firsts_host_and_process(tmp_path):
  holder = subprocess.Popen([sys.executable, '-c', HOLD, tmp_path], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)
  assert holder.stdout.readline() == 'held\n'
  with pytest.raises(UserError, match=f'in use by process {holder.pid} on {os.uname().nodename}'):
    with work.held(tmp_path):
      pass
  holder.kill()
  holder.communicate()
  with work.held(tmp_path):  # the dead process's lock is taken over
    assert f'process {os.getpid()} ' in (tmp_path / work.LOCK).read_text()
  with work.held(tmp_path):  # and a lock that was given back
    pass


@pytest.mark.parametrize('where', ['a file', 'below a file'])
def test_a_workdir_that_cannot_be_made(where, tmp_path):
  (tmp_path / 'file').touch()
  workdir = tmp_path / 'file' if where == 'a file' else tmp_path / 'file' / 'run'
  with pytest.raises(UserError, match='cannot be made or written'):
    with work.held(workdir):
      pass


@pytest.fixture
def read_only(tmp_path):
  """A folder that cannot be written; root, who may write anywhere, becomes somebody else."""
  tmp_path.chmod(0o500)
  if os.geteuid() == 0:
    os.seteuid(65534)
    yield tmp_path
    os.seteuid(0)
  else:
    yield tmp_path
  tmp_path.chmod(0o700)


def test_a_read_only_workdir_is_one_sentence(read_only):
  with pytest.raises(UserError, match='cannot be made or written .Permission denied'):
    with work.held(read_only):
      pass
  with pytest.raises(UserError, match='config.json: cannot be written .Permission denied'):
    records.write_json(read_only / work.CONFIG, {})


def test_reporting_runs_without_jax():
  """Design: metrics and reporting never import jax."""
  code = ('import sys; import persona_jax.reporting.summaries, persona_jax.reporting.report; '
          'import persona_jax.reporting.runs; '
          'import persona_jax.evaluation.metrics; sys.exit("jax" in sys.modules)')
  assert subprocess.run([sys.executable, '-c', code]).returncode == 0
