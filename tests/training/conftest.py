"""The smallest corpus and base model, pre-trained once for all tests of a file."""

import dataclasses

import pytest

from configs import synthetic
from persona_jax.data import loading
from persona_jax.data.study import Study
from persona_jax.training import pretrain


@pytest.fixture(scope='module')
def config():
  config = synthetic.get_config('smoke')
  config.model.name = 'early_fusion'
  config.pretrain.num_epochs = 3
  return config


@pytest.fixture(scope='module')
def corpus(config):
  return loading.load(config)


@pytest.fixture(scope='module')
def finished(tmp_path_factory, corpus, config):
  """A study whose pre-training is done."""
  study = Study.plan(config, corpus, tmp_path_factory.mktemp('run'))
  pretrain.pretrain(study)
  return study


@pytest.fixture(scope='module')
def teachers(finished):
  return pretrain.pretrain(finished)  # read, not trained


@pytest.fixture
def study(finished, tmp_path):
  """The same study in an empty folder."""
  return dataclasses.replace(finished, workdir=tmp_path)
