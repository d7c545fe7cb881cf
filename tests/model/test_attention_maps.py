import jax
import numpy as np
import pytest

from persona_jax import config as config_lib
from persona_jax.model import attention_maps
from persona_jax.model.build import build
from persona_jax.model.fast_prng import fast_key
from persona_jax.types import Clips


@pytest.mark.parametrize(
  'name, modalities', [('mult', {'audio', 'vision'}), ('early_fusion', set())]
)
def test_maps_are_of_the_valid_steps_and_sum_to_one(name, modalities):
  config = config_lib.paper().model
  config.update(name=name, num_layers=2, num_heads=3, width=6)
  random, lengths = np.random.default_rng(0), dict(language=(6, 4), audio=(5, 5), vision=(7, 2))
  clips = Clips(
    {
      m: random.normal(size=(1, padded, 4)).astype(np.float32) for m, (padded, _) in lengths.items()
    },
    {m: np.arange(padded)[None] < length for m, (padded, length) in lengths.items()},
  )
  model = build(config)
  variables = jax.jit(model.init)(fast_key(0), clips)
  assert set(variables) == {'params'}
  found = attention_maps.onto_language(attention_maps.program(model), variables['params'], clips)
  assert set(found) == modalities
  assert attention_maps.has_crossmodal(model, variables['params'], clips) == bool(modalities)
  for modality, table in found.items():
    assert table.shape == (lengths[modality][1] + 1, 4 + 1)  # the valid steps, and a token
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)
  if found:  # the first row of vision, whose frames are 2 of 7, in the last of two layers
    program = jax.jit(lambda p: model.apply({'params': p}, clips, mutable='maps'))
    _, state = program(variables['params'])
    (layers,) = jax.tree.leaves(state['maps']['base']['vision_from_language'])
    np.testing.assert_allclose(found['vision'][0], layers[1, 0, 0, [0, 1, 2, 3, 6]], atol=1e-6)
