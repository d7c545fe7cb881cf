"""Matrix products of linear layers, with weight gradients in the form that CPUs compute fastest.

XLA has fast kernels on CPUs for rows times columns, both contiguous, and slow ones for the rest. A
weight gradient contracts the rows of both its factors, so the narrower factor is transposed first.
On accelerators products take any order, so they are left as they are.
"""

from typing import Any

import jax
from jax import lax

from persona_jax.types import Array


def matmul(inputs: Array, kernel: Array) -> Array:
  """inputs [..., I] @ kernel [I, O] -> [..., O]."""
  return _matmul_on_cpu(inputs, kernel) if jax.default_backend() == 'cpu' else inputs @ kernel


def dot_general(inputs: Array, kernel: Array, dimensions: Any, **precision: Any) -> Array:
  """`matmul` as the `dot_general` of `nn.Dense`, which contracts the last axis of its inputs."""
  del dimensions, precision  # those of `nn.Dense` by default
  return matmul(inputs, kernel)


@jax.custom_vjp
def _matmul_on_cpu(inputs: Array, kernel: Array) -> Array:
  return inputs @ kernel


def _forward(inputs: Array, kernel: Array):
  return inputs @ kernel, (inputs, kernel)


def _backward(factors: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
  inputs, kernel = factors
  rows, gradient_rows = (x.reshape(-1, x.shape[-1]) for x in (inputs, gradient))
  if kernel.shape[0] <= kernel.shape[1]:
    kernel_gradient = _transposed(rows) @ gradient_rows
  else:
    kernel_gradient = lax.optimization_barrier(_transposed(gradient_rows) @ rows).T
  return gradient @ kernel.T, kernel_gradient


_matmul_on_cpu.defvjp(_forward, _backward)


def _transposed(matrix: Array) -> Array:
  """A copy, which XLA doesn't fold into the product that reads it."""
  return lax.optimization_barrier(matrix.T)
