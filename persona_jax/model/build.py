"""From a config to a model: the User Adapter in front of a base model of the registry."""

import functools
from collections.abc import Mapping
from typing import Any, cast

import jax
import ml_collections
from flax import linen as nn

from persona_jax.errors import UserError
from persona_jax.model.adapter import UserAdapter
from persona_jax.model.registry import BaseModel, base_model
from persona_jax.types import Array, Clips, Config, Params

GROUPS = ('adapter', 'base')  # the two halves of a predictor's parameters


class PersonalPredictor(nn.Module):
  """A User Adapter in front of a base model; parameters {'adapter': ..., 'base': ...}."""

  adapter: nn.Module
  base: nn.Module
  attend_to_padding: bool = False
  matmul_precision: str = 'float32'  # JAX itself lets GPUs round factors to TF32

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
    with jax.default_matmul_precision(self.matmul_precision):
      return self.base(*self.adapter(sequences, masks, train), train)


def call(module: nn.Module, params: Params, *args: Any, **kwargs: Any) -> jax.Array:
  """`module.apply` of a module that returns one array and changes no variable."""
  return cast(jax.Array, module.apply({'params': params}, *args, **kwargs))


def build(config: Config, distilling: bool = False) -> PersonalPredictor:
  """Builds the predictor that `config.model` describes, with a distillation token if `distilling`.

  Equal arguments give the same object, by which `predict.predict` knows what it traced before.

  Raises:
    UserError: the base model breaks its contract; see `persona_jax.model.registry`.
  """
  return _build(base_model(config.name), ml_collections.FrozenConfigDict(config), distilling)


@functools.lru_cache
def _build(entry: BaseModel, config: Config, distilling: bool) -> PersonalPredictor:
  reference = config.attention == 'reference'
  adapter = UserAdapter(
    config.width,
    config.prompt_length,
    {m: config.kernel_sizes[m] for m in config.modalities},
    language_dropout=config.dropout.embedding,
    padding='VALID' if reference else 'SAME',
    distilling=distilling,
  )
  base = entry(config, 1 + distilling)
  return PersonalPredictor(adapter, base, reference, config.matmul_precision)


def expect_kernels_fit(config: Config, steps: Mapping[str, int]) -> None:
  """Raises `UserError` if a convolution without padding would be longer than its sequences.

  Args:
    config: `config.model`.
    steps: {modality: T_m} of the corpus.
  """
  for modality in config.modalities if config.attention == 'reference' else ():
    size, longest = config.kernel_sizes[modality], steps[modality]
    if size > longest:
      raise UserError(
        f'config.model.kernel_sizes.{modality} = {size}: expected at most {longest}, the steps of '
        f'the longest {modality} sequence, since config.model.attention="reference" pads none.'
      )


def with_distillation_token(params: Params) -> Params:
  """Adds a distillation token and head to a teacher's parameters, copies of its last ones.

  Args:
    params: of a predictor without them.
  """
  adapter, heads = dict(params['adapter']), params['base']['heads']
  for name, tokens in params['adapter'].items():
    if name.endswith('_tokens'):
      copy = tokens | {'embedding': tokens['embedding'][-1:]}
      adapter[name.replace('_tokens', '_distillation_token')] = copy
  return {
    'adapter': adapter,
    'base': params['base'] | {'heads': heads | {'distillation_head': heads['head']}},
  }
