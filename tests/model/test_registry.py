"""The contract of a base model: kept by ours and by one written after the words, and checked."""

import jax
import jax.numpy as jnp
import numpy as np
import pooling
import pytest
from flax import linen as nn

from persona_jax import config as config_lib
from persona_jax.errors import UserError
from persona_jax.model import registry
from persona_jax.model.build import build, with_distillation_token
from persona_jax.model.fast_prng import fast_key
from persona_jax.model.heads import Heads
from persona_jax.types import Clips


class Newest(nn.Module):
  """A base model as a reader of the contract would write it: sums the steps that are read out."""

  num_read: int

  @nn.compact
  def __call__(self, sequences, masks, train):
    read = sum(sequence[:, -self.num_read :] for sequence in sequences.values())
    return Heads(0.0, name='heads')(nn.Dense(5, name='mix')(read), train)


def newest(config, num_read):
  return Newest(num_read)


def clips():
  random = np.random.default_rng(0)
  steps = dict(language=5, audio=3, vision=2)
  return Clips(
    {m: random.normal(size=(4, t, 6)).astype(np.float32) for m, t in steps.items()},
    {m: np.ones((4, t), bool) for m, t in steps.items()},
  )


@pytest.mark.parametrize('name', [pooling.NAME, 'newest'])
def test_a_base_model_of_ones_own_takes_a_distillation_token(name, monkeypatch):
  """As those of the registry do: see `test_build`."""
  monkeypatch.setitem(registry.BASE_MODELS, 'newest', newest)
  config = config_lib.paper().model
  config.update(name=name, num_layers=1, num_heads=2, width=6)
  model, distilling = build(config), build(config, distilling=True)
  params = jax.jit(model.init)(fast_key(0), clips())['params']
  grown = with_distillation_token(params)
  scores = jax.jit(lambda p: distilling.apply({'params': p}, clips(), method='scores'))(grown)
  assert scores.shape == (4, 2)
  created = jax.eval_shape(distilling.init, fast_key(0), clips())['params']
  assert jax.tree.map(jnp.shape, grown) == jax.tree.map(jnp.shape, created)


@pytest.mark.parametrize('name', registry.OURS)
def test_our_base_models_keep_the_contract(name):
  """A run does not check them."""
  registry.check(name, registry.OURS[name])


def test_an_unknown_name_is_explained():
  config = config_lib.paper().model
  config.name = 'transformer'
  with pytest.raises(UserError, match="config.model.name = 'transformer': expected one of mult, e"):
    build(config)


class Headless(Newest):
  @nn.compact
  def __call__(self, sequences, masks, train):
    read = sum(sequence[:, -self.num_read :] for sequence in sequences.values())
    return nn.Dense(1, name='score')(read)[..., 0]


class OneScore(Newest):
  @nn.compact
  def __call__(self, sequences, masks, train):
    return super().__call__(sequences, masks, train)[:, 0]


class Stateful(Newest):
  @nn.compact
  def __call__(self, sequences, masks, train):
    self.variable('counts', 'calls', lambda: jnp.zeros(()))
    return super().__call__(sequences, masks, train)


class ReadDependent(Newest):
  @nn.compact
  def __call__(self, sequences, masks, train):
    read = sum(sequence[:, -self.num_read :] for sequence in sequences.values())
    mixed = nn.Dense(5, name='mix')(read.reshape(len(read), -1))
    return Heads(0.0, name='heads')(jnp.stack([mixed] * self.num_read, axis=1), train)


@pytest.mark.parametrize(
  'module, problem',
  [
    (Headless, "with num_read = 1 its parameters have nothing under 'heads', expected .'head'."),
    (
      OneScore,
      r'with num_read = 1 it returns \(\(3,\), .float32.\) for a batch of 3, expected \(3, 1\)',
    ),
    (Stateful, "it has the variables .'counts', 'params'., expected params alone"),
    (
      ReadDependent,
      'its parameters with num_read = 2 are not those with num_read = 1 and a second head',
    ),
    (lambda num_read: nn.Dense(1), 'with num_read = 1 it cannot be called .TypeError'),
  ],
)
def test_a_base_model_that_breaks_the_contract_is_named(module, problem, monkeypatch):
  monkeypatch.setitem(registry.BASE_MODELS, 'mine', lambda config, num_read: module(num_read))
  config = config_lib.paper().model
  config.name = 'mine'
  with pytest.raises(
    UserError, match=f"base model 'mine': {problem}.*persona_jax/model/registry.py"
  ):
    build(config)


def test_an_entry_in_the_place_of_ours_is_checked(monkeypatch):
  monkeypatch.setitem(registry.BASE_MODELS, 'mult', lambda config, num_read: OneScore(num_read))
  with pytest.raises(UserError, match="base model 'mult': with num_read = 1 it returns"):
    build(config_lib.paper().model)
