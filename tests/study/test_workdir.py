"""The run's folder: the right run, one writer, and what is written whole or not at all."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from configs import synthetic
from persona_jax import files
from persona_jax.data import corpus as corpus_lib
from persona_jax.data import loading
from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.reporting import provenance, records
from persona_jax.study import workdir as workdir_lib


@pytest.fixture
def config():
  return synthetic.get_config('smoke')


@pytest.fixture
def corpus(config):
  return loading.load(config)


@pytest.fixture
def begun(config, corpus, tmp_path):
  """A workdir with a teacher and a fold personalised, as far as their names go."""
  workdir_lib.initialize(Study.plan(config, corpus, tmp_path))
  for folder in ('teachers/fold_00_seed_0', 'adapt/fold_00_seed_0_adapter-base/1'):
    (tmp_path / 'checkpoints' / folder).mkdir(parents=True)
  return tmp_path


def test_corpus_file_is_of_the_studys_users_wherever_they_rank(config, corpus, tmp_path):
  config.study.update(first_user=2, num_users=2)
  workdir_lib.initialize(Study.plan(config, corpus, tmp_path))
  later = [user for user, _ in corpus_lib.users_by_clips(corpus)[2:4]]
  written = json.loads((tmp_path / 'corpus.json').read_text())
  assert list(written['users']) == list(written['oracle_mae']) == later
  assert written['users'][later[0]] == corpus.speakers.count(later[0])
  folds = Study.plan(config, corpus, tmp_path).folds
  assert written['steps'] == [corpus.clips.steps] and written['batches'] == list(folds.batches)


def test_another_config_is_refused_field_by_field(config, begun):
  config.model.width, config.adapt.num_steps = 16, 4
  with pytest.raises(
    UserError,
    match='config.adapt.num_steps is 3 there and 4 now; config.model.width is 8 there and 16 now',
  ):
    workdir_lib.expect_config(begun, config)


@pytest.mark.parametrize(
  'field, stage',
  [
    ('model.width', 'training'),
    ('pretrain.num_epochs', 'training'),
    ('data.seed', 'training'),
    ('quick_compile', 'training'),
    ('something.new', 'training'),
    ('adapt.weight', 'personalising'),
    ('study.num_users', None),
    ('seed', None),
    ('data.root', None),
  ],
)
def test_a_field_concerns_the_stages_from_one_on(field, stage):
  assert provenance.stage(field) == stage


def test_only_the_stages_that_have_results_pin_the_config(config, begun):
  config.adapt.num_steps = 4
  workdir_lib.expect_config(begun, config, [provenance.TRAINING])
  config.study.update(num_users=4, num_draws=3, arms=('baseline', 'fs_base'))
  config.adapt.num_steps = 3
  workdir_lib.expect_config(begun, config)
  assert workdir_lib.stages_done(begun) == ['training', 'personalising']
  shutil.rmtree(begun / 'checkpoints' / 'adapt')
  assert workdir_lib.stages_done(begun) == ['training']
  shutil.rmtree(begun / 'checkpoints' / 'teachers')
  (begun / 'checkpoints' / 'pretrain' / 'fold_00_seed_0').mkdir(parents=True)  # and no step in it
  assert workdir_lib.stages_done(begun) == [] and workdir_lib.existing_epochs(begun) is None


def test_the_same_files_may_lie_elsewhere(begun):
  from configs import mosi

  config = mosi.get_config('smoke')
  files.write_json(begun / files.CONFIG, provenance.plain(config))
  before = provenance.config_hash(config)
  config.data.root, config.data.labels = '/elsewhere', 'other.csd'
  config.study.attention = not config.study.attention
  workdir_lib.expect_config(begun, config)
  assert provenance.config_hash(config) == before
  config.data.missing = 'drop'
  assert provenance.config_hash(config) != before


@pytest.mark.parametrize('part', ['labels', 'audio', 'clips'])
def test_other_data_are_refused_part_by_part(part, config, corpus, begun):
  workdir_lib.expect_corpus(Study.plan(config, corpus, begun))
  other = loading.load(config)
  if part == 'labels':
    other.labels[3] += np.float32(1e-6)
  elif part == 'audio':
    other.clips.frames['audio'][-1, -1] += 1
  else:
    object.__setattr__(other, 'speakers', ('x', *other.speakers[1:]))
  with pytest.raises(UserError, match=f'begun with other data; {part} differ'):
    workdir_lib.expect_corpus(Study.plan(config, other, begun))


def trial(**fields):
  """A record of the first user of the smoke study, but for `fields`."""
  clips, scores = ('a', 'b'), np.zeros(2, np.float32)
  return records.Trial(
    **dict(
      user='speaker00',
      arm='fs_ua',
      seed=0,
      draw=0,
      num_support=5,
      clips=clips,
      labels=scores,
      predictions=scores,
    )
    | fields
  )


@pytest.mark.parametrize(
  'fields, said',
  [
    (dict(user='speaker99'), 'user speaker99, seed 0'),
    (dict(seed=3), 'seed 3'),
    (dict(arm='fs_base'), 'arm fs_base'),
    (dict(draw=2), 'draw 2'),
    (dict(num_support=2), '2 support clips'),
    (dict(arm='baseline', num_support=2), '2 support clips'),
  ],
)
def test_a_study_that_would_lose_records_is_refused(fields, said, config, corpus, begun):
  study = Study.plan(config, corpus, begun)
  user = study.folds.all[0].label
  workdir_lib.expect_no_fewer_records(study)  # no records at all
  records.write(begun, [trial(user=user), trial(user=user, arm='baseline')])
  workdir_lib.expect_no_fewer_records(study)
  records.write(begun, [trial(**dict(user=user) | fields)])
  with pytest.raises(UserError, match=f'has records of .*{said}, which this config leaves out'):
    workdir_lib.expect_no_fewer_records(study)


HOLD = (
  'import pathlib, sys; from persona_jax.study import workdir\n'
  'with workdir.lock(pathlib.Path(sys.argv[1])): print("held", flush=True); sys.stdin.read()'
)


def test_a_second_writer_is_refused_by_the_firsts_host_and_process(tmp_path):
  holder = subprocess.Popen(
    [sys.executable, '-c', HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
  )
  assert holder.stdout.readline() == 'held\n'
  with pytest.raises(UserError, match=f'in use by process {holder.pid} on {os.uname().nodename}'):
    with workdir_lib.lock(tmp_path):
      pass
  with pytest.raises(UserError, match=f'in use by process {holder.pid} on'):
    workdir_lib.expect_unlocked(tmp_path)
  holder.kill()
  holder.communicate()
  with workdir_lib.lock(tmp_path):  # the dead process's lock is taken over
    assert f'process {os.getpid()} ' in (tmp_path / files.LOCK).read_text()
  with workdir_lib.lock(tmp_path):  # and a lock that was given back
    pass
  workdir_lib.expect_unlocked(tmp_path)


@pytest.mark.parametrize('where', ['a file', 'below a file'])
def test_a_workdir_that_cannot_be_made(where, tmp_path):
  (tmp_path / 'file').touch()
  workdir = tmp_path / 'file' if where == 'a file' else tmp_path / 'file' / 'run'
  workdir_lib.expect_unlocked(workdir)
  with pytest.raises(UserError, match='cannot be made or written'):
    with workdir_lib.lock(workdir):
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
    with workdir_lib.lock(read_only):
      pass
  with pytest.raises(UserError, match='config.json: cannot be written .Permission denied'):
    files.write_json(read_only / files.CONFIG, {})


def test_reporting_runs_without_jax():
  """Design: metrics and reporting never import jax."""
  code = (
    'import sys; import persona_jax.reporting.summaries, persona_jax.reporting.report; '
    'import persona_jax.reporting.run_comparison; '
    'import persona_jax.evaluation.metrics; sys.exit("jax" in sys.modules)'
  )
  assert subprocess.run([sys.executable, '-c', code]).returncode == 0
