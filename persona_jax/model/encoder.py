"""The transformer encoder that MulT is made of: crossmodal with a source, else self-attention."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from persona_jax.model import attention, softmax_attention
from persona_jax.model.layer_norm import LayerNorm, standardised
from persona_jax.model.products import dot_general
from persona_jax.model.score_block import AttentionMask
from persona_jax.types import Array, Config


@dataclasses.dataclass(frozen=True)
class DropoutRates:
  """Where MulT drops: embeddings, attention weights, behind the ReLU, before each residual sum."""

  embedding: float
  attention: float
  relu: float
  residual: float


def dropout_rates(config: Config) -> DropoutRates:
  """Of `config.model`."""
  return DropoutRates(
    config.dropout.embedding, config.dropout.attention, config.dropout.relu, config.dropout.residual
  )


class EncoderLayer(nn.Module):
  """Pre-LayerNorm attention and feed-forward, each with a residual sum."""

  num_heads: int
  rates: DropoutRates

  @nn.compact
  def __call__(self, streams: tuple[Array, ...], mask: AttentionMask, train: bool) -> Array:
    """[B, T_q, E], as the first of `streams`, which are those of `attention.MultiHeadAttention`.

    Those behind the first are standardised: in a crossmodal encoder all layers read the same.
    """
    query, *sources = streams
    attention_norm = LayerNorm(name='attention_norm')
    residual_dropout = nn.Dropout(self.rates.residual, deterministic=not train)

    mixed = attention.MultiHeadAttention(self.num_heads, self.rates.attention, name='attention')(
      tuple(attention_norm(stream) for stream in (standardised(query), *sources)), mask, train
    )
    hidden = query + residual_dropout(mixed)
    normed = LayerNorm(name='feed_forward_norm')(standardised(hidden))
    inner = nn.relu(_dense(4 * query.shape[-1], 'expand')(normed))
    inner = nn.Dropout(self.rates.relu, deterministic=not train)(inner)
    return hidden + residual_dropout(_dense(query.shape[-1], 'contract')(inner))


def _dense(features: int, name: str) -> nn.Dense:
  initialiser = nn.initializers.xavier_uniform()
  return nn.Dense(features, kernel_init=initialiser, dot_general=dot_general, name=name)


class _CrossmodalStep(nn.Module):
  """`EncoderLayer` in the form that `nn.scan` carries: the target changes, the sources stay."""

  num_heads: int
  rates: DropoutRates
  train: bool

  @nn.compact
  def __call__(self, target, sources_and_mask):
    sources, mask = sources_and_mask
    layer = EncoderLayer(self.num_heads, self.rates, name='layer')
    return layer((target, *sources), mask, train=self.train), None


class _SelfAttentionStep(nn.Module):
  """`EncoderLayer` in the form that `nn.scan` carries: the sequence attends to itself."""

  num_heads: int
  rates: DropoutRates
  train: bool

  @nn.compact
  def __call__(self, sequence, mask):
    layer = EncoderLayer(self.num_heads, self.rates, name='layer')
    return layer((sequence,), mask, train=self.train), None


def _scanned(step: type[nn.Module], length: int) -> type[nn.Module]:
  """Stacks `length` layers' parameters on a leading axis, so that only one layer is compiled.

  The backward pass recomputes a layer from its input, except for the output of attention. Stacking
  every layer's inner activations in a loop would cost more in copies, and several times the memory.
  """
  policy = jax.checkpoint_policies.save_only_these_names(softmax_attention.SAVED)
  return nn.scan(
    nn.remat(step, prevent_cse=False, policy=policy),
    variable_axes={'params': 0, attention.MAPS: 0},
    split_rngs={'params': True, 'dropout': True},
    in_axes=nn.broadcast,  # pyright: ignore[reportArgumentType]  # Flax documents it, untyped
    length=length,
  )


class _Embedding(nn.Module):
  """Scale by sqrt(E), add positions, drop."""

  rate: float
  reference_positions: bool

  @nn.compact
  def __call__(self, sequence: Array, mask: Array, train: bool) -> Array:
    width = sequence.shape[-1]
    positions = attention.sinusoids(attention.ranks(mask) + 1, width)
    if self.reference_positions:  # the reference takes a frame whose first channel is 0 for padding
      positions = jnp.where(sequence[..., :1] == 0, 0, positions)
    return nn.Dropout(self.rate, deterministic=not train)(math.sqrt(width) * sequence + positions)


class CrossmodalEncoder(nn.Module):
  """Reinforces a target sequence from a source sequence (Tsai et al. 2019, section 3.2).

  Keys and values share an embedding, and have dropout masks of their own, as in the reference.
  """

  num_layers: int
  num_heads: int
  rates: DropoutRates
  reference_positions: bool = False

  @nn.compact
  def __call__(
    self, target: Array, source: Array, target_mask: Array, source_mask: Array, train: bool
  ) -> Array:
    """target [B, T_q, E], source [B, T_k, E], masks [B, T] bool -> [B, T_q, E]."""
    embed = _Embedding(self.rates.embedding, self.reference_positions)
    hidden = embed(target, target_mask, train)
    # Without dropout keys and values are the same array.
    num_sources = 2 if train else 1
    sources = tuple(standardised(embed(source, source_mask, train)) for _ in range(num_sources))
    mask = attention.causal_mask(target_mask, source_mask)
    layers = _scanned(_CrossmodalStep, self.num_layers)(
      self.num_heads, self.rates, train, name='layers'
    )
    hidden, _ = layers(hidden, (sources, mask))
    return LayerNorm(name='norm')(standardised(hidden))


class SelfAttentionEncoder(nn.Module):
  """Encodes a sequence and returns its last steps.

  Only those are read, so the last layer computes only those; the layers before it compute all.
  """

  num_layers: int
  num_heads: int
  rates: DropoutRates
  num_read: int = 1
  reference_positions: bool = False

  @nn.compact
  def __call__(self, sequence: Array, mask: Array, train: bool) -> Array:
    """sequence [B, T, E], mask [B, T] bool -> [B, num_read, E], the last steps."""
    hidden = _Embedding(self.rates.embedding, self.reference_positions)(sequence, mask, train)
    causal = attention.causal_mask(mask, mask)
    if self.num_layers > 1:
      layers = _scanned(_SelfAttentionStep, self.num_layers - 1)(
        self.num_heads, self.rates, train, name='layers'
      )
      hidden, _ = layers(hidden, causal)
    last = EncoderLayer(self.num_heads, self.rates, name='last_layer')(
      (hidden[:, -self.num_read :], standardised(hidden)),
      causal._replace(last_seen=causal.last_seen[:, -self.num_read :]),
      train,
    )
    return LayerNorm(name='norm')(standardised(last))
