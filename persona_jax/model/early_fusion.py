"""A plain transformer encoder over all modalities in one sequence: the second base model.

It shows the way into the registry, `persona_jax.model.registry`.
"""

import jax.numpy as jnp
from flax import linen as nn

from persona_jax.model.encoder import DropoutRates, SelfAttentionEncoder, dropout_rates
from persona_jax.model.heads import Heads
from persona_jax.types import Array, Config


class EarlyFusion(nn.Module):
  """Concatenates the sequences in time, modality tokens last, and reads those out.

  Every step carries a learnable vector that names its modality.
  """

  num_layers: int
  num_heads: int
  rates: DropoutRates
  output_dropout: float
  num_read: int = 1

  @nn.compact
  def __call__(self, sequences: dict[str, Array], masks: dict[str, Array], train: bool) -> Array:
    """{modality: [B, T_m, E]}, masks [B, T_m] bool -> sentiment [B, num_read].

    Each of the last `num_read` steps gives one score.
    """
    width = next(iter(sequences.values())).shape[-1]
    marks = self.param('modality', nn.initializers.normal(1.0), (len(sequences), width))
    marked = [sequence + mark for sequence, mark in zip(sequences.values(), marks, strict=True)]
    num_tokens = self.num_read * len(sequences)
    encoder = SelfAttentionEncoder(
      self.num_layers, self.num_heads, self.rates, num_tokens, name='encoder'
    )
    read = encoder(self._join(marked), self._join(list(masks.values())), train)
    return Heads(self.output_dropout, name='heads')(
      read.reshape(len(read), self.num_read, -1), train
    )

  def _join(self, parts: list[Array]) -> Array:
    """Joins the parts in time, their last steps at the end, where causal attention sees everything.

    Of these the user tokens of all parts come first.
    """
    last = [part[:, step][:, None] for step in range(-self.num_read, 0) for part in parts]
    return jnp.concatenate([part[:, : -self.num_read] for part in parts] + last, axis=1)


def build(config: Config, num_read: int) -> EarlyFusion:
  """The entry of `persona_jax.model.registry`."""
  return EarlyFusion(
    config.num_layers, config.num_heads, dropout_rates(config), config.dropout.output, num_read
  )
