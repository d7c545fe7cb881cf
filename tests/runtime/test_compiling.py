"""What the compiler is told, that programs give the same for it, and when they are traced."""

import time

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


def test_programs_are_traced_one_after_the_other_in_order():
  events = []

  def tracing(name):
    def function(_, x, shared):
      events.append(f'{name} begins')
      time.sleep(0.2)  # time for another to begin
      events.append(f'{name} ends')
      return x * shared

    return parallel.over_folds(function, parallel.fold_mesh())

  programs = [tracing('first'), tracing('second')]
  x, mesh = np.ones((2, 3), np.float32), parallel.fold_mesh()
  arrays = (), parallel.shard(x, mesh), parallel.replicate(np.float32(2), mesh)
  for program in programs:
    program.compile(*arrays)
  for program in programs:
    np.testing.assert_array_equal(program(*arrays), 2 * x)
  assert events == ['first begins', 'first ends', 'second begins', 'second ends']
