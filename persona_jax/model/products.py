"""Linear layers and convolutions as the matrix products that CPUs compute fastest.

XLA has fast kernels on CPUs for a product of two matrices with contiguous rows, and slow ones for
the rest. A weight gradient is a sum over the rows of both its factors, so the narrower one is
transposed first. The weight gradient of a convolution over time has no fast kernel at all.
Accelerators are fast at all of these, and do them as they are.
"""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from persona_jax.types import Array


def matmul(inputs: Array, kernel: Array) -> Array:
  """inputs [..., I] @ kernel [I, O] -> [..., O]."""
  return _matmul_on_cpu(precision(), inputs, kernel) if _on_cpu() else inputs @ kernel


def precision() -> str | None:
  """The precision of products where this is called, for gradients that are traced elsewhere."""
  # JAX adds the attribute at run time.
  return jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]


def dot_general(inputs: Array, kernel: Array, dimensions: Any, **others: Any) -> Array:
  """`matmul` as the `dot_general` of `nn.Dense`, which contracts the last axis of its inputs."""
  del dimensions, others  # those of `nn.Dense` by default
  return matmul(inputs, kernel)


def conv_general_dilated(
  frames: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **others: Any
) -> Array:
  """That of `nn.Conv`, with strides and dilation of 1: a product per step of the kernel.

  Args:
    frames: [B, T, D].
    kernel: [n, D, E].
    padding: 'SAME' or 'VALID'.
  """
  if not _on_cpu():
    return lax.conv_general_dilated(frames, kernel, strides, padding, **others)
  num_steps = len(kernel)
  if padding == 'SAME':
    before = (num_steps - 1) // 2
    frames = jnp.pad(frames, [(0, 0), (before, num_steps - 1 - before), (0, 0)])
  length = frames.shape[1] - num_steps + 1
  terms = (matmul(frames[:, i : i + length], kernel[i]) for i in range(num_steps))
  return functools.reduce(operator.add, terms)


def _on_cpu() -> bool:
  return jax.default_backend() == 'cpu'


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _matmul_on_cpu(how_exact: str | None, inputs: Array, kernel: Array) -> Array:
  return _forward(how_exact, inputs, kernel)[0]


def _forward(how_exact: str | None, inputs: Array, kernel: Array):
  with jax.default_matmul_precision(how_exact):
    return inputs @ kernel, (inputs, kernel)


def _backward(
  how_exact: str | None, factors: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
  inputs, kernel = factors
  rows, gradient_rows = (x.reshape(-1, x.shape[-1]) for x in (inputs, gradient))
  with jax.default_matmul_precision(how_exact):
    if kernel.shape[0] <= kernel.shape[1]:
      kernel_gradient = _transposed(rows) @ gradient_rows
    else:
      kernel_gradient = lax.optimization_barrier(_transposed(gradient_rows) @ rows).T
    return gradient @ kernel.T, kernel_gradient


_matmul_on_cpu.defvjp(_forward, _backward)


def _transposed(matrix: Array) -> Array:
  """A copy, which XLA doesn't fold into the product that reads it."""
  return lax.optimization_barrier(matrix.T)
