"""What all launchers have in common: their help, their mistakes, and how JAX is started."""

import json
import subprocess
import sys

import jax
import pytest
from launchers import ROOT, complaint, fresh, output_of, run, start

from configs import synthetic
from launch import common
from persona_jax.runtime import allocator


@pytest.mark.parametrize(
  'flags, sentence',
  [
    (['--config=configs/nowhere.py'], 'nowhere.py'),
    (['--config=configs/synthetic.py:tiny'], "config mode 'tiny': expected"),
    (['--config.model.widht=3'], 'widht'),
    (['--config.model.width=wide'], 'wide'),
    (['--config.model.num_heads=7'], 'config.model.num_heads = 7: expected a divisor'),
    (['--config=configs/mosi.py'], 'config.data.root is empty'),
    (
      ['--config=configs/mosi.py', '--config.data.root=/nowhere'],
      '/nowhere/CMU_MOSI_Opinion_Labels',
    ),
    (['--config.study.num_users=40'], 'the corpus has 30 speakers'),
    (
      ['--config.model.attention=reference', '--config.model.kernel_sizes.audio=99'],
      'config.model.kernel_sizes.audio = 99: expected at most 30',
    ),
    (['stray'], "argument 'stray' is not a flag"),
    (['--config.study.shots', '1', '5'], 'lists have commas and no spaces, such as 1,2,5'),
  ],
)
def test_mistakes_end_with_one_sentence(flags, sentence, tmp_path):
  assert sentence in complaint('study', *flags, f'--workdir={tmp_path / "run"}')
  assert not (tmp_path / 'run').exists()  # so that the advice can be followed in the same folder


def test_debug_shows_the_traceback(tmp_path):
  process = start('study', '--config=configs/mosi.py', f'--workdir={tmp_path}', '--debug')
  assert 'Traceback' in process.communicate()[1] and process.returncode == 1


@pytest.mark.parametrize(
  'launcher',
  [
    'study',
    'pretrain',
    'train',
    'adapt',
    'predict',
    'export',
    'report',
    'check_data',
    'convert',
    'benchmark',
  ],
)
def test_help_is_there(launcher):
  text = run(launcher, '--help')
  flag = dict(report='workdir', export='predictor').get(launcher, 'config')
  assert '--[no]debug' in text and f'--{flag}' in text


def test_benchmark_prints_a_line_a_shape():
  flags = [
    '--config=configs/synthetic.py:smoke',
    '--config.model.name=early_fusion',
    "--config.model.modalities=('language',)",
    '--shape=config',
    '--repeats=1',
  ]
  process = fresh('benchmark', *flags)  # as users start it; it starts processes itself
  (line,) = map(json.loads, output_of(process).splitlines())
  assert set(line) == {
    'shape',
    'batch',
    'layers',
    'folds',
    'device',
    'train_step_s',
    'eval_s',
    'compile_s',
    'peak_rss_mb',
    'parameters',
  }
  assert line['shape'] == 'config' and line['batch'] == 32 and line['layers'] == 1
  assert 0 < line['eval_s'] < line['train_step_s'] < line['compile_s']


def test_a_smoke_run_compiles_quickly(monkeypatch):
  updates = {}
  monkeypatch.setattr(jax.config, 'update', updates.__setitem__)
  common.start_jax(synthetic.get_config(), 1)
  assert 'jax_disable_most_optimizations' not in updates
  common.start_jax(synthetic.get_config('smoke'), 1)
  assert updates['jax_disable_most_optimizations'] is True


def test_launchers_keep_freed_memory(monkeypatch):
  calls = []
  monkeypatch.setattr(jax.config, 'update', lambda name, value: None)
  monkeypatch.setattr(allocator, 'keep_freed_memory', lambda: calls.append(True))
  common.start_jax(synthetic.get_config(), 1)
  assert calls


_PREDICTING = """
from absl import flags
from launch import common, predict
from persona_jax.predictor import storage

def start_jax(config, side_by_side):
  raise SystemExit(f'{side_by_side} devices')

common.start_jax, common.num_cores, storage.settings = start_jax, lambda: 3, lambda folder: None
flags.FLAGS(['predict', '--predictor=none', '--clips=none'])
predict.main()
"""


def test_clips_are_predicted_on_a_device_per_core():
  ended = subprocess.run(
    [sys.executable, '-c', _PREDICTING], cwd=ROOT, capture_output=True, text=True
  )
  assert ended.stderr.strip() == '3 devices'


def test_a_core_per_fold_and_seed(monkeypatch):
  """One user with three seeds is three predictors, side by side where there are the cores."""
  config, updates = synthetic.get_config(), {}
  config.study.folds, config.study.seeds = (4,), (0, 1, 2)
  assert common.num_folds(config) == 3
  config.study.folds, config.study.seeds = (), ()
  assert common.num_folds(config) == config.study.num_users
  monkeypatch.setattr(common, 'num_cores', lambda: 2)
  monkeypatch.setenv('XLA_FLAGS', '')
  monkeypatch.setattr(jax.config, 'update', updates.__setitem__)
  common.start_jax(config, 3)
  assert updates['jax_num_cpu_devices'] == 2
