"""The smallest corpus and base model, pre-trained, for what is done to it and with it."""

import pytest

from configs import synthetic
from persona_jax.data import corpus as data_corpus
from persona_jax.data.plan import Plan
from persona_jax.training import pretrain


@pytest.fixture(scope='module')
def config():
  config = synthetic.get_config('smoke')
  config.model.name = 'early_fusion'
  config.pretrain.num_epochs = 3
  return config


@pytest.fixture(scope='module')
def corpus(config):
  return data_corpus.load(config)


@pytest.fixture(scope='module')
def plan(corpus, config):
  return Plan(corpus, config)


@pytest.fixture(scope='module')
def trained(tmp_path_factory, corpus, config, plan):
  workdir = tmp_path_factory.mktemp('run')
  return workdir, pretrain.pretrain(corpus, plan, config, workdir)
