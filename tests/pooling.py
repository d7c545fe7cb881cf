"""The base model of tests that are not about the model: it compiles in a third of the time."""

import jax.numpy as jnp
from flax import linen as nn

from persona_jax.model import registry
from persona_jax.model.heads import Heads

NAME = 'pooling'


class Pooling(nn.Module):
  """Reads, at each token, the token and the mean of the frames; no attention."""

  num_read: int
  dropout_rate: float

  @nn.compact
  def __call__(self, sequences, masks, train):
    read = 0
    for modality, sequence in sequences.items():
      seen = masks[modality][:, : -self.num_read, None]
      frames = (sequence[:, : -self.num_read] * seen).sum(axis=1) / jnp.maximum(seen.sum(axis=1), 1)
      read += frames[:, None] + sequence[:, -self.num_read :]
    hidden = nn.relu(nn.Dense(read.shape[-1], name='mix')(read))
    hidden = nn.Dropout(self.dropout_rate, deterministic=not train)(hidden)
    return Heads(0.0, name='heads')(hidden, train)


def build(config, num_read):
  """The registry's entry."""
  return Pooling(num_read, config.dropout.residual)


registry.BASE_MODELS[NAME] = build
