"""The base models, and what a base model must be.

A base model of your own is a file with a Flax module, and one entry in `BASE_MODELS`. Its contract:

  the entry    `build(config, num_read) -> nn.Module`. `config` is `config.model`, frozen.
               `num_read` is the number of steps that are read out: 1, or 2 if a distillation token
               follows the user's. Equal configs share a module.
  its call     `module(sequences, masks, train) -> [B, num_read]`, from the adapter's sequences
               `{modality: [B, T_m, E]}` and masks `{modality: [B, T_m]}` to the sentiment read at
               the last `num_read` steps of each sequence. Those steps are always valid: the user's
               token, then the distillation token. Steps where a mask is False must change nothing.
  its heads    `persona_jax.model.heads.Heads`, in a submodule named 'heads', makes the scores of
               what was read, [B, num_read, n]. So the parameters have `heads/head`, and with
               `num_read` = 2 also `heads/distillation_head` of the same shapes. Nothing else
               depends on `num_read`.
  its state    parameters alone, no other variables. Dropout draws from the key 'dropout' if `train`
               is set.

`persona_jax.model.early_fusion` is the smallest example. `base_model` checks an entry of your own
once per process, by tracing it over shapes. That takes seconds, so ours are left to the tests.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from flax import linen as nn

from persona_jax.errors import UserError
from persona_jax.model import early_fusion, mult
from persona_jax.model.fast_prng import fast_key
from persona_jax.types import Array, Config

BaseModel = Callable[[Config, int], nn.Module]

OURS: dict[str, BaseModel] = {'mult': mult.build, 'early_fusion': early_fusion.build}
BASE_MODELS: dict[str, BaseModel] = dict(OURS)

_BATCH, _WIDTH, _STEPS = 3, 4, {'language': 5, 'audio': 2, 'vision': 7}  # of the check
_CONTRACT = 'see persona_jax/model/registry.py for what a base model must be'


def base_model(name: str) -> BaseModel:
  """The entry of a name, which keeps the contract.

  Raises:
    UserError: there is no such entry, or it breaks the contract.
  """
  if name not in BASE_MODELS:
    raise UserError(f'config.model.name = {name!r}: expected one of {", ".join(BASE_MODELS)}.')
  build = BASE_MODELS[name]
  if build is not OURS.get(name):
    check(name, build)
  return build


@functools.cache
def check(name: str, build: BaseModel) -> None:
  """Raises `UserError` for the first thing that is not as the contract has it."""
  params = {}
  for num_read in (1, 2):
    variables, scores = _traced(name, build, num_read)
    _expect(
      name,
      set(variables) == {'params'},
      f'it has the variables {sorted(variables)}, expected params alone',
    )
    _expect(
      name,
      getattr(scores, 'shape', None) == (_BATCH, num_read),
      f'with num_read = {num_read} it returns {_shapes(scores)} for a batch of {_BATCH}, expected '
      f'{(_BATCH, num_read)}',
    )
    params[num_read] = variables['params']
    heads = set(params[num_read].get('heads', {}))
    expected = {'head', 'distillation_head'} if num_read == 2 else {'head'}
    _expect(
      name,
      heads == expected,
      f"with num_read = {num_read} its parameters have {sorted(heads) or 'nothing'} under 'heads', "
      f'expected {sorted(expected)}: read the scores out with '
      'persona_jax.model.heads.Heads(name="heads")',
    )
  head = params[1]['heads']['head']
  both = params[1] | {'heads': {'head': head, 'distillation_head': head}}
  _expect(
    name,
    _shapes(params[2]) == _shapes(both),
    'its parameters with num_read = 2 are not those with num_read = 1 and a second head',
  )


def _traced(name: str, build: BaseModel, num_read: int) -> tuple[dict[str, Any], Any]:
  """Shapes of the variables, and of what a call returns."""
  sequences = {
    m: jax.ShapeDtypeStruct((_BATCH, steps, _WIDTH), jnp.float32) for m, steps in _STEPS.items()
  }
  masks = {m: jax.ShapeDtypeStruct((_BATCH, steps), bool) for m, steps in _STEPS.items()}
  key = jax.eval_shape(fast_key, 0)

  def create_and_call(sequences: dict[str, Array], masks: dict[str, Array], key: jax.Array):
    scores, variables = build(_small_config(), num_read).init_with_output(
      key, sequences, masks, False
    )
    return variables, scores

  try:
    return jax.eval_shape(create_and_call, sequences, masks, key)
  except Exception as error:  # whatever a stranger's module raises
    raise UserError(
      f'base model {name!r}: with num_read = {num_read} it cannot be called '
      f'({type(error).__name__}: {_first_line(error)}); {_CONTRACT}.'
    ) from error


def _small_config() -> Config:
  return ml_collections.ConfigDict(
    dict(
      attention='masked',
      modalities=tuple(_STEPS),
      width=_WIDTH,
      num_layers=2,
      num_heads=2,
      prompt_length=1,
      dropout=dict(embedding=0.0, attention=0.0, relu=0.0, residual=0.0, output=0.0),
    )
  )


def _expect(name: str, holds: bool, problem: str) -> None:
  if not holds:
    raise UserError(f'base model {name!r}: {problem}; {_CONTRACT}.')


def _shapes(tree: Any) -> Any:
  return jax.tree.map(lambda leaf: (tuple(leaf.shape), str(leaf.dtype)), tree)


def _first_line(error: Exception) -> str:
  return (str(error).strip().splitlines() or ['no reason given'])[0]
