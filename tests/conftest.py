"""Runs the tests on two CPU devices, and finds the real data where it is at hand.

PERSONA_JAX_PLATFORMS=cuda,cpu and XLA_PYTHON_CLIENT_PREALLOCATE=false run them on a GPU.
"""

import os
from importlib import metadata

# Not JAX's own variable, which may be set for other reasons.
os.environ['JAX_PLATFORMS'] = os.environ.get('PERSONA_JAX_PLATFORMS', 'cpu')
if os.environ['JAX_PLATFORMS'] == 'cpu':
  # Tests compile much and compute little: a fourth of the time to compile, in launchers too.
  os.environ['XLA_FLAGS'] = ' '.join(
    [
      os.environ.get('XLA_FLAGS', ''),
      '--xla_backend_optimization_level=0',
      '--xla_llvm_disable_expensive_passes=true',
      *(  # XLA aborts at a flag that it does not know
        ['--xla_cpu_use_fusion_emitters=false']
        if metadata.version('jaxlib').startswith('0.10.')
        else []
      ),
    ]
  )
# Every program is compiled by one process alone: by default small ones are not kept.
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'

import dataclasses
import pathlib

import jax
import makers
import pytest

from launch import common
from persona_jax.data import loading
from persona_jax.data.study import Study
from persona_jax.training import pretrain

ON_CPUS = os.environ['JAX_PLATFORMS'] == 'cpu'
jax.config.update('jax_num_cpu_devices', 2)
if not ON_CPUS:  # what tests compare with is exact; `test_precision.py` looks at the package's own
  jax.config.update('jax_default_matmul_precision', 'float32')
if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
  jax.config.update('jax_compilation_cache_dir', str(common.CACHE.expanduser()))

# Those that take longest, which a worker each should begin with.
LONGEST = (
  'test_launch',
  'test_devices',
  'test_interruption',
  'test_build',
  'test_leave_one_speaker_out',
  'test_pretrain',
  'test_accelerators',
  'test_interop',
)


def pytest_collection_modifyitems(items) -> None:
  places = {name: place for place, name in enumerate(LONGEST)}
  items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))
  if not ON_CPUS:
    elsewhere = pytest.mark.skip(reason='about CPU devices; run without PERSONA_JAX_PLATFORMS')
    for item in items:
      if item.get_closest_marker('cpus'):
        item.add_marker(elsewhere)


SHARED_DATA = pathlib.Path(__file__).parents[2] / 'shared' / 'data'


@pytest.fixture(scope='session')
def mosi_root() -> pathlib.Path:
  root = SHARED_DATA / 'mosi'
  if not root.is_dir():
    pytest.skip(f'real CMU-MOSI is not at {root}')
  return root


# The smallest study, pre-trained once for all tests of a file.


@pytest.fixture(scope='module')
def config():
  config = makers.smallest_config()
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
