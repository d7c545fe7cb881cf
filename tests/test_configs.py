"""Every config file."""

import importlib
import pathlib

import pytest

from persona_jax import config as config_lib
from persona_jax.arms import ARMS, CONTROLS
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
  for mode in ('grouped', 'grouped,smoke', 'grouped,full', 'grouped,full,smoke'):
    grouped = module.get_config(mode)
    config_lib.validate(grouped)
    assert (grouped.study.protocol, grouped.pretrain.validation) == ('grouped', 'speakers')
  assert 'python -m launch.study' in module.__doc__
  with pytest.raises(UserError, match="config mode 'smok': expected"):
    module.get_config('smok')
  with pytest.raises(UserError, match="config mode 'full': full goes with grouped"):
    module.get_config('full')


def test_full_has_all_arms_of_grouped_studies_and_all_controls():
  study = importlib.import_module('configs.mosi').get_config('grouped,full').study
  assert set(study.arms) == set(ARMS) - {'fs_ua_token', 'fs_adapter', 'fs_base'}
  assert set(study.controls) == set(CONTROLS) and study.teachers == 3
  assert (study.shots, study.num_draws) == ((1, 2, 5, 10), 20)


@pytest.mark.parametrize(
  'study, said',
  [
    (dict(teachers=0), r'config.study.teachers = 0: expected at least 1'),
    (dict(teachers=2), r'config.study.teachers = 2: expected 1 unless .* has an arm of the ens'),
    (dict(arms=('ensemble',)), 'config.study.teachers = 1: expected at least 2 for the arm ens'),
    (dict(arms=('ensemble_joint',), teachers=2), "expected 'ensemble' among them: a gain of aver"),
    (
      dict(arms=('ensemble', 'ensemble_bayes_kd'), teachers=2),
      'expected fs_ua_kd among them, which ensemble_bayes_kd includes',
    ),
    (dict(controls=('others',)), 'expected different ones of other, one_sided, one_sided_told'),
    (dict(controls=('other', 'other')), 'expected different ones of'),
    (
      dict(controls=('one_sided',), support='one_sided'),
      "none unless config.study.support is 'ran",
    ),
    (dict(controls=('other',), protocol='leave_one_out'), "none of 'other' unless"),
    (dict(support='one_sided', support_from='other'), "expected 'own' unless config.study.support"),
  ],
)
def test_what_a_study_of_several_teachers_or_controls_needs(study, said):
  config = importlib.import_module('configs.synthetic').get_config('grouped')
  config.study.update(study)
  with pytest.raises(UserError, match=said):
    config_lib.validate(config)


def test_mosi_is_the_paper():
  config = importlib.import_module('configs.mosi').get_config()
  assert (config.model.num_layers, config.model.num_heads, config.model.width) == (5, 10, 30)
  assert (config.pretrain.num_epochs, config.pretrain.learning_rate) == (40, 1e-3)
  assert (config.adapt.base_learning_rate, config.adapt.adapter_learning_rate) == (1e-4, 1e-3)
  assert (config.adapt.weight, config.study.num_support, config.study.num_users) == (0.6, 5, 10)
