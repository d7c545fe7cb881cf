"""A study killed, asked to stop, short of room or begun by two, in processes of their own.

What is tested here does not look at the model.
"""

import pathlib
import random
import resource
import signal
import time

import pytest
from launchers import complaint, fresh, run, start, wait_for
from makers import SMALLEST

FLAGS = [*SMALLEST, '--config.pretrain.num_epochs=3', '--config.pretrain.batch_size=8']
FILES = ('records.jsonl', 'predictions.csv')


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> pathlib.Path:
  """An uninterrupted study."""
  workdir = tmp_path_factory.mktemp('whole')
  run('study', *FLAGS, f'--workdir={workdir}')
  return workdir


def expect_same(workdir: pathlib.Path, whole: pathlib.Path) -> None:
  for file in FILES:
    assert (workdir / file).read_bytes() == (whole / file).read_bytes(), file


def expect_prefix(workdir: pathlib.Path, whole: pathlib.Path) -> None:
  """What a stopped study has written is whole lines, or nothing."""
  for file in FILES:
    if (workdir / file).exists():
      written, expected = ((folder / file).read_bytes() for folder in (workdir, whole))
      assert expected.startswith(written) and written.endswith(b'\n'), file


def kill_and_finish(process, workdir, whole):
  """Kills a study, and lets it finish: the same bytes as an uninterrupted one."""
  process.kill()
  process.communicate()
  expect_prefix(workdir, whole)
  run('study', *FLAGS, f'--workdir={workdir}')
  expect_same(workdir, whole)


@pytest.mark.parametrize(
  'marker',
  [
    'checkpoints/pretrain/fold_00_seed_0',
    'checkpoints/pretrain/fold_02_seed_0/[0-9]*',
    'checkpoints/adapt/fold_00_seed_0_*/1*',
    'records.jsonl',
  ],
)
def test_killed_in_any_stage(marker, whole, tmp_path):
  """As soon as the stage's files begin to appear."""
  process = start('study', *FLAGS, f'--workdir={tmp_path}')
  wait_for(process, tmp_path, marker)
  kill_and_finish(process, tmp_path, whole)


@pytest.mark.slow
def test_killed_at_random_moments(whole, tmp_path):
  started = time.monotonic()
  run('study', *FLAGS, f'--workdir={tmp_path / "timed"}')
  seconds = time.monotonic() - started
  for number in range(24):
    workdir = tmp_path / str(number)
    process = start('study', *FLAGS, f'--workdir={workdir}')
    time.sleep(random.uniform(0.05, 1) * seconds)
    kill_and_finish(process, workdir, whole)


@pytest.mark.parametrize('number, code', [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop_it_saves_and_says_how_to_go_on(number, code, whole, tmp_path):
  process = start('study', *FLAGS, '--config.study.num_draws=2', f'--workdir={tmp_path}')
  wait_for(process, tmp_path, 'checkpoints/pretrain/fold_00_seed_0')
  asked = time.monotonic()
  process.send_signal(number)
  _, errors = process.communicate()
  assert process.returncode == code and time.monotonic() - asked < 10
  assert errors.startswith(f'study: stopped by {number.name} ') and len(errors.splitlines()) == 1
  assert 'Rerun the same command to resume.' in errors
  run('study', *FLAGS, f'--workdir={tmp_path}')
  expect_same(tmp_path, whole)


def test_a_second_interrupt_leaves_at_once(tmp_path):
  """While the first is still waiting for XLA to compile."""
  process = fresh(
    'pretrain',
    '--config=configs/synthetic.py:smoke',
    '--config.quick_compile=False',
    '--config.model.num_layers=4',
    f'--workdir={tmp_path}',
    JAX_COMPILATION_CACHE_DIR=str(tmp_path / 'cache'),
    XLA_FLAGS='',  # compiles slowly
  )
  wait_for(process, tmp_path, 'checkpoints')
  time.sleep(4)
  process.send_signal(signal.SIGINT)
  time.sleep(0.5)
  assert process.poll() is None
  again = time.monotonic()
  process.send_signal(signal.SIGINT)
  _, errors = process.communicate()
  assert process.returncode == 130 and time.monotonic() - again < 2
  assert 'stopped by SIGINT at once' in errors


def test_a_full_disk_stops_with_one_sentence_and_can_be_mended(whole, tmp_path):
  """A limit on the size of files stands for the disk: the first checkpoint does not fit."""
  process = start('study', *FLAGS, f'--workdir={tmp_path}')
  resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
  _, errors = process.communicate()
  assert process.returncode == 1 and len(errors.splitlines()) == 1
  assert errors.startswith('study: ') and ': cannot be saved (File too large' in errors
  run('study', *FLAGS, f'--workdir={tmp_path}')
  expect_same(tmp_path, whole)


def test_a_second_study_in_the_same_workdir_is_refused(whole, tmp_path):
  first = start('study', *FLAGS, f'--workdir={tmp_path}')
  wait_for(first, tmp_path, 'config.json')
  assert f'in use by process {first.pid}' in complaint('study', *FLAGS, f'--workdir={tmp_path}')
  first.communicate()
  assert first.returncode == 0
  expect_same(tmp_path, whole)


WILD = '--config.pretrain.learning_rate=1e38'  # makes the parameters infinite


def test_a_run_that_diverges_stops_with_one_sentence(tmp_path):
  said = complaint('pretrain', *FLAGS, WILD, f'--workdir={tmp_path}')
  assert (
    'fold_00_seed_0 (speaker' in said and 'epoch 1, step 2 of' in said and 'is not finite' in said
  )


def test_a_personalisation_that_diverges_stops_with_one_sentence(tmp_path):
  flags = [*FLAGS, '--config.adapt.base_learning_rate=1e38', f'--workdir={tmp_path}']
  said = complaint('study', *flags)
  assert '), arm fs_ua, draw 0: a prediction is not finite' in said
  assert not (tmp_path / 'predictions.csv').exists()  # of the first group, nobody was done
  user, predictor = said.split('(')[1].split(')')[0], f'--predictor={tmp_path / "p"}'
  run('train', *flags[:-1], f'--study={tmp_path}', '--fold=fold_00_seed_0', predictor)
  said = complaint(
    'adapt', *flags[:-1], predictor, f'--user={user}', '--arm=fs_ua_kd', f'--users={tmp_path / "u"}'
  )
  assert 'fs_ua_kd: a parameter is not finite' in said
  assert not list((tmp_path / 'u').glob('*.safetensors'))


@pytest.mark.slow
def test_debug_nans_names_the_operation(tmp_path):
  flags = [*FLAGS, WILD, '--config.model.name=early_fusion']
  process = start('pretrain', *flags, f'--workdir={tmp_path}', '--debug_nans')
  _, errors = process.communicate()
  assert process.returncode == 1
  assert 'FloatingPointError: invalid value (nan) encountered in reduce_sum' in errors
  assert 'persona_jax/model/encoder.py' in errors
