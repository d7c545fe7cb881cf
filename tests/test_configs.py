"""Every config file."""

import importlib
import pathlib

import pytest

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
  for mode in ('grouped', 'grouped,smoke'):
    grouped = module.get_config(mode)
    config_lib.validate(grouped)
    assert (grouped.study.protocol, grouped.pretrain.validation) == ('grouped', 'speakers')
  assert 'python -m launch.study' in module.__doc__
  with pytest.raises(UserError, match="config mode 'smok': expected"):
    module.get_config('smok')


def test_mosi_is_the_paper():
  config = importlib.import_module('configs.mosi').get_config()
  assert (config.model.num_layers, config.model.num_heads, config.model.width) == (5, 10, 30)
  assert (config.pretrain.num_epochs, config.pretrain.learning_rate) == (40, 1e-3)
  assert (config.adapt.base_learning_rate, config.adapt.adapter_learning_rate) == (1e-4, 1e-3)
  assert (config.adapt.weight, config.study.num_support, config.study.num_users) == (0.6, 5, 10)
