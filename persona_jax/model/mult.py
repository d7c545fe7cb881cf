"""MulT, the multimodal transformer of Tsai et al. 2019, https://arxiv.org/abs/1906.00295."""

import dataclasses

import jax.numpy as jnp
from flax import linen as nn

from persona_jax.model.encoder import CrossmodalEncoder, DropoutRates, SelfAttentionEncoder
from persona_jax.types import Array

MIN_SELF_ATTENTION_LAYERS = 3  # the reference takes max(num_layers, 3) in this stage


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


class MulT(nn.Module):
  """Crossmodal encoders for each ordered pair of modalities, then self-attention, then the heads.

  Each target modality is reinforced from every other, the results are joined in width, and their
  last steps are read out behind a self-attention encoder. One modality alone skips the first stage.

  Attributes:
    rates: dropout of the encoders; `rates.attention` holds where the target is language and in
      every self-attention encoder, and elsewhere no attention weight is dropped.
    output_dropout: dropout in the residual heads.
    num_read: R, how many steps are read out, each by a head of its own.
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
    """{modality: [B, T_m, E]}, masks [B, T_m] bool -> [B, R] sentiment read at the last R steps."""
    last_steps = []
    for target in sequences:
      joined = self._reinforce(target, sequences, masks, train)
      encoder = SelfAttentionEncoder(
          max(self.num_layers, MIN_SELF_ATTENTION_LAYERS), self.num_heads, self.rates, self.num_read,
          reference_positions=self.reference_positions, name=f'{target}_memory')
      last_steps.append(encoder(joined, masks[target], train))
    return Heads(self.output_dropout, name='heads')(jnp.concatenate(last_steps, axis=-1), train)

  def _reinforce(self, target: str, sequences, masks, train: bool) -> Array:
    """[B, T, (M - 1) E]: the target as seen from each of the M - 1 other modalities."""
    rates = self.rates if target == 'language' else dataclasses.replace(self.rates, attention=0.0)
    reinforced = [
        CrossmodalEncoder(self.num_layers, self.num_heads, rates, self.reference_positions,
                          name=f'{target}_from_{source}')(
            sequences[target], sequences[source], masks[target], masks[source], train)
        for source in sequences if source != target]
    return jnp.concatenate(reinforced, axis=-1) if reinforced else sequences[target]
