"""A plain transformer encoder over all modalities in one sequence: the second base model.

It shows the way into the registry (`persona_jax.model.build`): take the adapter's sequences and
masks, return one score a clip.
"""

import jax.numpy as jnp
from flax import linen as nn

from persona_jax.model.encoder import DropoutRates, SelfAttentionEncoder
from persona_jax.model.mult import ResidualHead
from persona_jax.types import Array


class EarlyFusion(nn.Module):
  """Concatenates the sequences in time, modality tokens last, and reads those out.

  Every step carries a learnable vector that names its modality.
  """

  num_layers: int
  num_heads: int
  rates: DropoutRates
  output_dropout: float

  @nn.compact
  def __call__(self, sequences: dict[str, Array], masks: dict[str, Array], train: bool) -> Array:
    """{modality: [B, T_m, E]}, {modality: [B, T_m]} bool -> sentiment [B]; step -1 is valid."""
    width = next(iter(sequences.values())).shape[-1]
    marks = self.param('modality', nn.initializers.normal(1.0), (len(sequences), width))
    marked = [sequence + mark for sequence, mark in zip(sequences.values(), marks)]
    # Last steps go to the end of the whole, where causal attention sees everything.
    joined = jnp.concatenate([s[:, :-1] for s in marked] + [s[:, -1:] for s in marked], axis=1)
    mask = jnp.concatenate([m[:, :-1] for m in masks.values()]
                           + [m[:, -1:] for m in masks.values()], axis=1)
    encoder = SelfAttentionEncoder(self.num_layers, self.num_heads, self.rates,
                                   num_read=len(sequences), name='encoder')
    read = encoder(joined, mask, train)
    return ResidualHead(self.output_dropout, name='head')(read.reshape(read.shape[0], -1), train)
