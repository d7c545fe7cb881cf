"""Initialisers that several modules share."""

from flax import linen as nn


def torch_uniform(scale: float = 1 / 3) -> nn.initializers.Initializer:
  """PyTorch's default for Linear and Conv1d kernels: U(+-1/sqrt(fan_in))."""
  return nn.initializers.variance_scaling(scale, 'fan_in', 'uniform')
