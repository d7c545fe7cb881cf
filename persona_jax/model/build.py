"""From a config to a model: the registry of base models, and the predictor around them."""

import ml_collections
from flax import linen as nn

from persona_jax.model.adapter import UserAdapter
from persona_jax.model.early_fusion import EarlyFusion
from persona_jax.model.encoder import DropoutRates
from persona_jax.model.mult import MulT
from persona_jax.types import Array, Clips, Params

GROUPS = ('adapter', 'base')  # the two halves of a predictor's parameters


def _mult(config: ml_collections.ConfigDict, num_read: int) -> nn.Module:
  return MulT(config.num_layers, config.num_heads, _rates(config), config.dropout.output, num_read,
              reference_positions=config.attention == 'reference')


def _early_fusion(config: ml_collections.ConfigDict, num_read: int) -> nn.Module:
  return EarlyFusion(config.num_layers, config.num_heads, _rates(config), config.dropout.output,
                     num_read)


def _rates(config: ml_collections.ConfigDict) -> DropoutRates:
  return DropoutRates(config.dropout.embedding, config.dropout.attention, config.dropout.relu,
                      config.dropout.residual)


# Another base model is one new file and one entry: a function of `config.model` and R that returns a
# module called as base({modality: [B, T_m, E]}, {modality: [B, T_m]}, train) -> [B, R], a score read
# at each of the last R steps.
BASE_MODELS = {'mult': _mult, 'early_fusion': _early_fusion}


class PersonalPredictor(nn.Module):
  """A User Adapter in front of a base model; parameters {'adapter': ..., 'base': ...}."""

  adapter: nn.Module
  base: nn.Module
  attend_to_padding: bool = False

  def __call__(self, clips: Clips, train: bool = False) -> Array:
    """Predicts sentiment [B]; needs a 'dropout' key when `train` is set."""
    return self.scores(clips, train).mean(axis=1)

  def scores(self, clips: Clips, train: bool = False) -> Array:
    """The user token's sentiment, and the distillation token's where there is one: [B, 1 or 2].

    Padded frames are zeroed, and never attended to unless `attend_to_padding` (the reference's way,
    which has no notion of padding).
    """
    sequences = {m: sequence * clips.masks[m][..., None] for m, sequence in clips.sequences.items()}
    masks = {m: mask | self.attend_to_padding for m, mask in clips.masks.items()}
    return self.base(*self.adapter(sequences, masks, train), train)


def build(config: ml_collections.ConfigDict, distilling: bool = False) -> PersonalPredictor:
  """Builds the predictor that `config.model` describes, with a distillation token if `distilling`."""
  reference = config.attention == 'reference'
  adapter = UserAdapter(
      config.width, config.prompt_length, {m: config.kernel_sizes[m] for m in config.modalities},
      language_dropout=config.dropout.embedding, padding='VALID' if reference else 'SAME',
      distilling=distilling)
  base = BASE_MODELS[config.name](config, num_read=1 + distilling)
  return PersonalPredictor(adapter, base, attend_to_padding=reference)


def with_distillation_token(params: Params) -> Params:
  """A teacher's parameters with a distillation token and head, copies of its last token and head."""
  adapter, heads = dict(params['adapter']), params['base']['heads']
  for name, tokens in params['adapter'].items():
    if name.endswith('_tokens'):
      copy = tokens | {'embedding': tokens['embedding'][-1:]}
      adapter[name.replace('_tokens', '_distillation_token')] = copy
  return {'adapter': adapter,
          'base': params['base'] | {'heads': heads | {'distillation_head': heads['head']}}}
