"""Runs the tests on two CPU devices, and finds the real data where it is at hand."""

import os

os.environ['JAX_PLATFORMS'] = 'cpu'
# Tests compile much and compute little: a third less time to compile, the launchers' processes too.
os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + ' --xla_backend_optimization_level=0'

import pathlib

import jax
import pytest

from launch import common

jax.config.update('jax_num_cpu_devices', 2)
jax.config.update('jax_compilation_cache_dir', str(common.CACHE.expanduser()))

SHARED_DATA = pathlib.Path(__file__).parents[2] / 'shared' / 'data'


@pytest.fixture(scope='session')
def mosi_root() -> pathlib.Path:
  root = SHARED_DATA / 'mosi'
  if not root.is_dir():
    pytest.skip(f'real CMU-MOSI is not at {root}')
  return root
