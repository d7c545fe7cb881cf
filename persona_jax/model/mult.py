"""MulT, the multimodal transformer of Tsai et al. 2019, https://arxiv.org/abs/1906.00295."""

import dataclasses

import jax.numpy as jnp
from flax import linen as nn

from persona_jax.model.encoder import (
  CrossmodalEncoder,
  DropoutRates,
  SelfAttentionEncoder,
  dropout_rates,
)
from persona_jax.model.heads import Heads
from persona_jax.types import Array, Config

MIN_SELF_ATTENTION_LAYERS = 3  # the reference takes max(num_layers, 3) in this stage


class MulT(nn.Module):
  """Crossmodal encoders for each ordered pair of modalities, then self-attention, then the heads.

  Each target modality is reinforced from every other, the results are joined in width, and their
  last steps are read out behind a self-attention encoder. One modality alone skips the first stage.

  Attributes:
    rates: dropout of the encoders; `rates.attention` holds where the target is language and in
      every self-attention encoder, and elsewhere no attention weight is dropped.
    output_dropout: dropout in the residual heads.
    num_read: how many steps are read out, each by a head of its own.
    reference_positions: give a frame whose first channel is 0 no position, as the reference does.
  """

  num_layers: int
  num_heads: int
  rates: DropoutRates
  output_dropout: float
  num_read: int = 1
  reference_positions: bool = False

  @nn.compact
  def __call__(self, sequences: dict[str, Array], masks: dict[str, Array], train: bool) -> Array:
    """{modality: [B, T_m, E]}, masks [B, T_m] bool -> sentiment [B, num_read].

    Each of the last `num_read` steps gives one score.
    """
    last_steps = []
    for target in sequences:
      joined = self._reinforce(target, sequences, masks, train)
      encoder = SelfAttentionEncoder(
        max(self.num_layers, MIN_SELF_ATTENTION_LAYERS),
        self.num_heads,
        self.rates,
        self.num_read,
        reference_positions=self.reference_positions,
        name=f'{target}_memory',
      )
      last_steps.append(encoder(joined, masks[target], train))
    return Heads(self.output_dropout, name='heads')(jnp.concatenate(last_steps, axis=-1), train)

  def _reinforce(self, target: str, sequences, masks, train: bool) -> Array:
    """[B, T, (M - 1) E]: the target as seen from each of the M - 1 other modalities."""
    rates = self.rates if target == 'language' else dataclasses.replace(self.rates, attention=0.0)
    reinforced = [
      CrossmodalEncoder(
        self.num_layers,
        self.num_heads,
        rates,
        self.reference_positions,
        name=f'{target}_from_{source}',
      )(sequences[target], sequences[source], masks[target], masks[source], train)
      for source in sequences
      if source != target
    ]
    return jnp.concatenate(reinforced, axis=-1) if reinforced else sequences[target]


def build(config: Config, num_read: int) -> MulT:
  """The entry of `persona_jax.model.registry`."""
  return MulT(
    config.num_layers,
    config.num_heads,
    dropout_rates(config),
    config.dropout.output,
    num_read,
    reference_positions=config.attention == 'reference',
  )
