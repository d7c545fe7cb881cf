"""A predictor that is trained once for the tests of this folder, and people who are new to it."""

import pytest
from strangers import config_of

import persona_jax
from persona_jax.data import loading
from persona_jax.predictor import training


@pytest.fixture(scope='package')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('predictor') / 'p'
  training.train(config_of(), folder)
  return folder


@pytest.fixture(scope='package')
def predictor(folder):
  return persona_jax.load(folder)


@pytest.fixture(scope='package')
def strangers():
  """A corpus of speakers whom the predictor has never met."""
  return loading.load(config_of(seed=7))
