"""What the compiler is told, and that programs give the same for it."""

import jax
import numpy as np
import pytest

from persona_jax.runtime import compiling, parallel


@pytest.fixture
def gpu(monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')


def quick(monkeypatch):
  monkeypatch.setattr(jax.config, 'read', lambda name: name == 'jax_disable_most_optimizations')


def test_quick_programs_of_cpus_compile_the_older_way(monkeypatch):
  def double():
    return parallel.over_folds(lambda _, x, shared: x * shared, parallel.fold_mesh())

  arrays = (), np.arange(6, dtype=np.float32).reshape(2, 3), np.float32(2)
  assert compiling.options() == {}
  expected = double()(*arrays)
  quick(monkeypatch)
  (option,) = compiling.options()
  assert option == 'xla_cpu_use_fusion_emitters'
  np.testing.assert_array_equal(double()(*arrays), expected)


def test_what_runs_once_and_for_long_is_optimized():
  assert compiling.options_of_one_call(100) == {}
  short = compiling.options_of_one_call(0.1)
  assert short['xla_backend_optimization_level'] == 0
  x = np.arange(6, dtype=np.float32)
  found = jax.jit(lambda x: (x + 1) * 2, compiler_options=short)(x)
  np.testing.assert_array_equal(found, (x + 1) * 2)


def test_accelerators_are_told_nothing(gpu, monkeypatch):
  quick(monkeypatch)
  assert compiling.options() == compiling.options_of_one_call(0.1) == {}
