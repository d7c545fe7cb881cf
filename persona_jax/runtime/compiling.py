"""What the compiler is told beyond JAX's own flags."""

import os
from collections.abc import Callable
from typing import Any

import jax

# XLA for CPUs can make loops by MLIR or by an older way, which compiles in half of the time to
# slower programs. From jax 0.11 on there is one way.
_OLDER_EMITTERS = {'xla_cpu_use_fusion_emitters': False} if jax.__version_info__ < (0, 11) else {}
_LEVEL = 'xla_backend_optimization_level'
# At level 3, XLA's default, LLVM unrolls loops of up to some 32 iterations before it makes vectors
# of them, which then fails: exponentials of short sequences were computed one by one.
_SHORT_LOOPS_IN_VECTORS = {_LEVEL: 2}
_UNOPTIMIZED = {_LEVEL: 0, 'xla_llvm_disable_expensive_passes': True}
# XLA for GPUs would write and time many Triton kernels for every product, and search for the best
# tiles of everything around a softmax or layer norm. Without, a training step compiles in a fifth
# of the time.
_WITHOUT_SEARCH = {
  'xla_gpu_autotune_level': 0,
  'xla_gpu_enable_triton_gemm': False,
  'xla_disable_hlo_passes': 'triton-softmax-rewriter',
}
_SHORT_S = 2  # seconds for which optimizing takes longer than it saves


def jit(function: Callable[..., Any], **arguments: Any) -> Any:
  """`jax.jit` with `options`, and with further arguments of `jax.jit`."""
  return jax.jit(function, compiler_options=options(), **arguments)


def options() -> dict[str, Any]:
  """Options of programs that are called often; what JAX's flags and XLA_FLAGS say stands."""
  if not _on_cpu():
    return _but_for_flags(_WITHOUT_SEARCH) if jax.default_backend() == 'gpu' else {}
  if jax.config.read('jax_disable_most_optimizations'):
    return _OLDER_EMITTERS
  return _but_for_flags(_SHORT_LOOPS_IN_VECTORS)


def options_of_one_call(seconds: float) -> dict[str, Any]:
  """Options of a program that is called once; on CPUs, a short one is not optimized.

  It compiles in less than half of the time, and may run for five times as long.

  Args:
    seconds: that it takes to run, optimized.
  """
  return _UNOPTIMIZED | _OLDER_EMITTERS if seconds < _SHORT_S and _on_cpu() else options()


def _but_for_flags(wanted: dict[str, Any]) -> dict[str, Any]:
  flags = os.environ.get('XLA_FLAGS', '')
  return {name: value for name, value in wanted.items() if name not in flags}


def _on_cpu() -> bool:
  return jax.default_backend() == 'cpu'
