"""What every base model reads its scores out with."""

import jax.numpy as jnp
from flax import linen as nn

from persona_jax.types import Array


def torch_uniform(scale: float = 1 / 3):
  """PyTorch's default for Linear and Conv1d kernels: U(+-1/sqrt(fan_in))."""
  return nn.initializers.variance_scaling(scale, 'fan_in', 'uniform')


class ResidualHead(nn.Module):
  """h + W2 relu(W1 h), then one linear output: sentiment [B]."""

  dropout_rate: float

  @nn.compact
  def __call__(self, hidden: Array, train: bool) -> Array:
    width = hidden.shape[-1]
    inner = nn.relu(nn.Dense(width, kernel_init=torch_uniform(), name='expand')(hidden))
    inner = nn.Dropout(self.dropout_rate, deterministic=not train)(inner)
    block = hidden + nn.Dense(width, kernel_init=torch_uniform(), name='contract')(inner)
    return nn.Dense(1, kernel_init=torch_uniform(), name='score')(block)[..., 0]


class Heads(nn.Module):
  """A `ResidualHead` for each step that is read out: the user's token, then the distillation token."""

  dropout_rate: float
  names = ('head', 'distillation_head')

  @nn.compact
  def __call__(self, read: Array, train: bool) -> Array:
    """[B, R, E] -> [B, R]."""
    return jnp.stack([ResidualHead(self.dropout_rate, name=name)(read[:, step], train)
                      for step, name in zip(range(read.shape[1]), self.names)], axis=1)
