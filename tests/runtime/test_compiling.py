"""What the compiler is told, that programs give the same for it, and when they are traced."""

import os
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest

from persona_jax.runtime import compiling, parallel


@pytest.fixture
def gpu(monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')


@pytest.fixture(autouse=True)
def no_flags(monkeypatch):
  """The tests' own flags are for tests that compile much."""
  monkeypatch.setenv('XLA_FLAGS', '')


def quick(monkeypatch):
  monkeypatch.setattr(jax.config, 'read', lambda name: name == 'jax_disable_most_optimizations')


@pytest.mark.cpus
def test_quick_programs_of_cpus_compile_the_older_way(monkeypatch):
  def double():
    return parallel.over_folds(lambda _, x, shared: x * shared, parallel.fold_mesh())

  arrays = (), np.arange(6, dtype=np.float32).reshape(2, 3), np.float32(2)
  expected = double()(*arrays)
  quick(monkeypatch)
  older = jax.__version_info__ < (0, 11)  # from then on there is one way
  assert compiling.options() == ({'xla_cpu_use_fusion_emitters': False} if older else {})
  np.testing.assert_array_equal(double()(*arrays), expected)


_COMPILES_EXPONENTIALS = """
import jax
from persona_jax.runtime import compiling

x, y = (jax.ShapeDtypeStruct(shape, 'float32') for shape in ((512, 48, 24), (512, 24)))
compiling.jit(lambda x, y: jax.numpy.exp2(x - y[:, None])).lower(x, y).compile()
"""


def bytes_of_exponentials(folder, flags: str) -> int:
  """The size of the machine code for exponentials of 24 steps, compiled by a process of its own."""
  environment = os.environ | dict(
    JAX_PLATFORMS='cpu',
    JAX_ENABLE_COMPILATION_CACHE='false',
    XLA_FLAGS=f'--xla_dump_to={folder} {flags}',
  )
  subprocess.run([sys.executable, '-c', _COMPILES_EXPONENTIALS], env=environment, check=True)
  return sum(file.stat().st_size for file in folder.glob('*exponential*.o'))


@pytest.mark.cpus
def test_short_loops_are_not_unrolled(tmp_path):
  """The 24 exponentials of a loop one by one would take five times the code."""
  rolled = bytes_of_exponentials(tmp_path / 'ours', '')
  unrolled = bytes_of_exponentials(tmp_path / 'default', '--xla_backend_optimization_level=3')
  assert 0 < rolled < unrolled / 2


def test_programs_over_folds_are_compiled_with_the_options(monkeypatch):
  made = []
  monkeypatch.setattr(jax, 'jit', lambda function, **arguments: made.append(arguments))
  parallel.over_folds(lambda _, x, shared: x * shared, parallel.fold_mesh(), donate_state=True)
  assert made == [dict(compiler_options=compiling.options(), donate_argnums=(0,))]


@pytest.mark.cpus
def test_a_level_of_the_environment_stands(monkeypatch):
  assert compiling.options()['xla_backend_optimization_level'] == 2
  monkeypatch.setenv('XLA_FLAGS', '--xla_backend_optimization_level=3')
  assert compiling.options() == {}


@pytest.mark.cpus
def test_what_runs_once_and_for_long_is_optimized():
  assert compiling.options_of_one_call(100) == compiling.options()
  short = compiling.options_of_one_call(0.1)
  assert short['xla_backend_optimization_level'] == 0
  x = np.arange(6, dtype=np.float32)
  found = jax.jit(lambda x: (x + 1) * 2, compiler_options=short)(x)
  np.testing.assert_array_equal(found, (x + 1) * 2)


@pytest.mark.parametrize('is_quick', [False, True])
def test_gpus_compile_without_a_search(is_quick, gpu, monkeypatch):
  if is_quick:
    quick(monkeypatch)
  expected = {
    'xla_gpu_autotune_level': 0,
    'xla_gpu_enable_triton_gemm': False,
    'xla_disable_hlo_passes': 'triton-softmax-rewriter',
  }
  assert compiling.options() == compiling.options_of_one_call(0.1) == expected
  monkeypatch.setenv('XLA_FLAGS', '--xla_gpu_autotune_level=4')
  del expected['xla_gpu_autotune_level']
  assert compiling.options() == expected


def test_other_accelerators_are_told_nothing(monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'tpu')
  assert compiling.options() == compiling.options_of_one_call(0.1) == {}


@pytest.mark.parametrize('seconds, gives_back', [(0, True), (600, False)])
def test_the_memory_that_compiling_took_is_given_back(seconds, gives_back, monkeypatch):
  monkeypatch.setattr(parallel, '_CACHED_S', seconds)
  given_back = threading.Event()
  monkeypatch.setattr(parallel.allocator, 'give_back_freed_memory', given_back.set)
  program = parallel.over_folds(lambda _, x, shared: x + shared, parallel.fold_mesh())
  arrays = (), np.ones((2, 3), np.float32), np.float32(1)
  program.compile(*arrays)
  assert (program(*arrays) == 2).all()
  assert given_back.is_set() == gives_back


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
