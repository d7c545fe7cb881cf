"""The heads with which every base model reads out its scores."""

import jax.numpy as jnp
from flax import linen as nn

from persona_jax.model.initialisers import torch_uniform
from persona_jax.types import Array

READ = 'read'  # the collection of what the heads read, filled where `apply` has it as mutable


class ResidualHead(nn.Module):
  """h + W2 relu(W1 h), then one linear output: [B, n] -> sentiment [B]."""

  dropout_rate: float

  @nn.compact
  def __call__(self, hidden: Array, train: bool) -> Array:
    width = hidden.shape[-1]
    inner = nn.relu(nn.Dense(width, kernel_init=torch_uniform(), name='expand')(hidden))
    inner = nn.Dropout(self.dropout_rate, deterministic=not train)(inner)
    block = hidden + nn.Dense(width, kernel_init=torch_uniform(), name='contract')(inner)
    return nn.Dense(1, kernel_init=torch_uniform(), name='score')(block)[..., 0]


class Heads(nn.Module):
  """A `ResidualHead` per step that is read out: the user's token, then the distillation token."""

  dropout_rate: float
  names = ('head', 'distillation_head')

  @nn.compact
  def __call__(self, read: Array, train: bool) -> Array:
    """[B, num_read, n] -> [B, num_read]."""
    if self.is_mutable_collection(READ) and not self.is_initializing():
      self.sow(READ, 'steps', read)
    return jnp.stack(
      [
        ResidualHead(self.dropout_rate, name=name)(read[:, step], train)
        for step, name in enumerate(self.names[: read.shape[1]])
      ],
      axis=1,
    )
