"""From a config to a model: the registry of base models, and the predictor around them."""

import ml_collections
from flax import linen as nn

from persona_jax.model.adapter import UserAdapter
from persona_jax.model.early_fusion import EarlyFusion
from persona_jax.model.encoder import DropoutRates
from persona_jax.model.mult import MulT
from persona_jax.types import Array, Clips

GROUPS = ('adapter', 'base')  # the two halves of a predictor's parameters


def _mult(config: ml_collections.ConfigDict) -> nn.Module:
  return MulT(config.num_layers, config.num_heads, _rates(config), config.dropout.output,
              reference_positions=config.attention == 'reference')


def _early_fusion(config: ml_collections.ConfigDict) -> nn.Module:
  return EarlyFusion(config.num_layers, config.num_heads, _rates(config), config.dropout.output)


def _rates(config: ml_collections.ConfigDict) -> DropoutRates:
  return DropoutRates(config.dropout.embedding, config.dropout.attention, config.dropout.relu,
                      config.dropout.residual)


# Another base model is one new file and one entry: a function of `config.model` that returns a
# module called as base({modality: [B, T_m, E]}, {modality: [B, T_m]}, train) -> [B].
BASE_MODELS = {'mult': _mult, 'early_fusion': _early_fusion}


class PersonalPredictor(nn.Module):
  """A User Adapter in front of a base model; parameters {'adapter': ..., 'base': ...}."""

  adapter: nn.Module
  base: nn.Module
  attend_to_padding: bool = False

  def __call__(self, clips: Clips, train: bool = False) -> Array:
    """Predicts sentiment [B]; needs a 'dropout' key when `train` is set.

    Padded frames are zeroed, and never attended to unless `attend_to_padding` (the reference's way,
    which has no notion of padding).
    """
    sequences = {m: sequence * clips.masks[m][..., None] for m, sequence in clips.sequences.items()}
    masks = {m: mask | self.attend_to_padding for m, mask in clips.masks.items()}
    return self.base(*self.adapter(sequences, masks, train), train)


def build(config: ml_collections.ConfigDict) -> PersonalPredictor:
  """Builds the predictor that `config.model` describes."""
  reference = config.attention == 'reference'
  adapter = UserAdapter(
      config.width, config.prompt_length, {m: config.kernel_sizes[m] for m in config.modalities},
      language_dropout=config.dropout.embedding, padding='VALID' if reference else 'SAME')
  return PersonalPredictor(adapter, BASE_MODELS[config.name](config), attend_to_padding=reference)
