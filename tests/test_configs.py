"""Every config file, and what is said of values that cannot work."""

import importlib
import pathlib

import jax
import pytest

from configs import synthetic
from launch import common
from persona_jax import config as config_lib
from persona_jax.errors import UserError

NAMES = sorted(
  path.stem for path in (pathlib.Path(__file__).parents[1] / 'configs').glob('[a-z]*.py')
)


@pytest.mark.parametrize('name', NAMES)
def test_config_and_its_smoke_are_valid(name):
  module = importlib.import_module(f'configs.{name}')
  config_lib.validate(module.get_config())
  smoke = module.get_config('smoke')
  config_lib.validate(smoke)
  assert smoke.pretrain.num_epochs < module.get_config().pretrain.num_epochs
  assert 'python -m launch.study' in module.__doc__
  with pytest.raises(UserError, match="config mode 'smok': expected"):
    module.get_config('smok')


def test_mosi_is_the_paper():
  config = importlib.import_module('configs.mosi').get_config()
  assert (config.model.num_layers, config.model.num_heads, config.model.width) == (5, 10, 30)
  assert (config.pretrain.num_epochs, config.pretrain.learning_rate) == (40, 1e-3)
  assert (config.adapt.base_learning_rate, config.adapt.adapter_learning_rate) == (1e-4, 1e-3)
  assert (config.adapt.weight, config.study.num_support, config.study.num_users) == (0.6, 5, 10)


@pytest.mark.parametrize(
  'field, value, complaint',
  [
    ('model.num_heads', 7, 'config.model.num_heads = 7: expected a divisor of config.model.width'),
    ('model.modalities', ('vision', 'audio'), 'expected some of language, audio, vision'),
    ('model.dropout.relu', 1.0, 'config.model.dropout.relu = 1.0: expected 0 or more'),
    ('model.attention', 'causal', "expected 'masked' or 'reference'"),
    ('data.missing', 'guess', "config.data.missing = 'guess': expected 'mask' or 'drop'"),
    (
      'data.frames_per_second.audio',
      -1,
      'frames_per_second.audio = -1.0: expected more than 0, or 0 for',
    ),
    ('pretrain.train_fraction', 1.0, 'between 0 and 1'),
    ('adapt.weight', 1.5, 'config.adapt.weight = 1.5: expected 0 to 1'),
    ('adapt.temperature', 0, 'config.adapt.temperature = 0.0: expected more than 0'),
    ('model.matmul_precision', 'bfloat16', "expected 'float32' or 'tensorfloat32'"),
    ('study.arms', ('baseline', 'magic'), 'expected different ones of baseline, mean_shift, fs_ua'),
    ('study.arms', (), 'expected different ones of baseline'),
    ('study.seeds', (0, 0), 'expected different ones, each an integer'),
    ('study.shots', (0, 5), 'expected different integers of at least 1'),
    ('study.shots', (1, 2), 'expected config.study.num_support = 5 among them'),
    (
      'study.folds',
      (0, 10),
      r'config.study.folds = \(0, 10\): expected distinct numbers of 0 to 9',
    ),
    ('study.num_query', 0, 'at least 1, or None'),
    ('seed', -1, 'config.seed = -1'),
    ('seed', 2**31, 'config.seed = 2147483648: expected an integer of 0 to 2147483647'),
    ('study.seeds', (0, 2**31), 'expected different ones, each an integer of 0 to 2147483647'),
    ('study.seeds', (True,), 'expected different ones, each an integer'),
    (
      'normalise.modalities',
      ('audio', 'smell'),
      'expected different ones of language, audio, vision',
    ),
    ('normalise.deviation', 0, 'config.normalise.deviation = 0.0: expected more than 0'),
    ('normalise.deviation', float('inf'), 'config.normalise.deviation = inf: expected more than 0'),
    ('normalise.limit', -1, 'config.normalise.limit = -1.0: expected more than 0'),
  ],
)
def test_bad_values_are_explained(field, value, complaint):
  config = importlib.import_module('configs.mosi').get_config()
  *path, last = field.split('.')
  section = config
  for part in path:
    section = section[part]
  section[last] = value
  with pytest.raises(UserError, match=complaint):
    config_lib.validate(config)


def test_a_smoke_run_compiles_quickly(monkeypatch):
  updates = {}
  monkeypatch.setattr(jax.config, 'update', updates.__setitem__)
  common.start_jax(synthetic.get_config(), 1)
  assert 'jax_disable_most_optimizations' not in updates
  common.start_jax(synthetic.get_config('smoke'), 1)
  assert updates['jax_disable_most_optimizations'] is True


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
