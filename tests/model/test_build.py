"""What must hold of every base model, and of the adapter in front."""

import jax
import jax.numpy as jnp
import numpy as np
import pooling
import pytest

from persona_jax import config as config_lib
from persona_jax.errors import UserError
from persona_jax.model.build import build, expect_kernels_fit, with_distillation_token
from persona_jax.model.fast_prng import fast_key
from persona_jax.model.registry import BASE_MODELS
from persona_jax.types import Clips

NAMES = [name for name in BASE_MODELS if name != pooling.NAME]
STEPS = {'language': 5, 'audio': 11, 'vision': 7}
WIDTHS = {'language': 13, 'audio': 3, 'vision': 17}
TWO = ('language', 'audio')  # enough where nothing depends on how many there are
LENGTHS = {'language': [5, 2, 3], 'audio': [11, 4, 0], 'vision': [7, 1, 6]}  # one clip lacks audio


def config_of(name='mult', **model):
  config = config_lib.paper().model
  config.update(name=name, num_layers=2, num_heads=3, width=6, **model)
  return config


def clips_of(modalities=tuple(STEPS), padding=0):
  random = np.random.default_rng(0)
  sequences = {m: random.normal(size=(3, STEPS[m], WIDTHS[m])).astype(np.float32) for m in STEPS}
  masks = {m: np.arange(STEPS[m]) < np.array(LENGTHS[m])[:, None] for m in STEPS}
  for m in STEPS:
    sequences[m] = np.pad(sequences[m], [(0, 0), (0, padding), (0, 0)], constant_values=1e3)
    masks[m] = np.pad(masks[m], [(0, 0), (0, padding)])
  return Clips({m: sequences[m] for m in modalities}, {m: masks[m] for m in modalities})


def initialised(config, clips):
  model = build(config)
  return model, jax.jit(model.init)(fast_key(0), clips)


VARIANTS = {name: config_of(name) for name in NAMES} | {
  'prompt3': config_of('early_fusion', prompt_length=3),
  'kernels': config_of('early_fusion', kernel_sizes=dict(language=3, audio=5, vision=1)),
}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS, scope='module')
def predictor(request):
  clips = clips_of()
  model, variables = initialised(request.param, clips)
  return jax.jit(lambda c: model.apply(variables, c)), clips


def test_padding_and_what_lies_in_it_changes_nothing(predictor):
  predict, clips = predictor
  np.testing.assert_allclose(predict(clips_of(padding=4)), predict(clips), atol=2e-6)


def test_batch_neighbours_and_order_change_nothing(predictor):
  predict, clips = predictor
  together = predict(clips)
  for index in (0, 1, 2):
    one = slice(index, index + 1)
    alone = predict(jax.tree.map(lambda x, one=one: x[one], clips))
    np.testing.assert_allclose(alone, together[one], atol=2e-6)
  turned = predict(jax.tree.map(lambda x: x[::-1], clips))
  np.testing.assert_allclose(turned[::-1], together, atol=2e-6)


def test_every_valid_frame_matters(predictor):
  predict, clips = predictor
  before = predict(clips)
  for modality, lengths in LENGTHS.items():
    for clip, length in enumerate(lengths):
      for step in range(length):
        changed = jax.tree.map(np.copy, clips)
        changed.sequences[modality][clip, step] += 1
        moved = np.abs(predict(changed) - before) > 1e-7
        assert moved.tolist() == [i == clip for i in range(3)], (modality, clip, step)


@pytest.mark.parametrize('modalities', [('language',), ('audio', 'vision')])
def test_modality_subsets(modalities):
  clips = clips_of(modalities)
  model, variables = initialised(config_of(modalities=modalities), clips)
  predictions = jax.jit(model.apply)(variables, clips)
  assert predictions.shape == (3,) and np.isfinite(predictions).all()
  encoders = {name for name in variables['params']['base'] if '_from_' in name}
  assert encoders == ({'audio_from_vision', 'vision_from_audio'} if len(modalities) == 2 else set())


def test_parameters_are_adapter_and_base_and_all_are_used():
  clips = clips_of()
  model, variables = initialised(config_of(), clips)
  params = variables['params']
  assert set(params) == {'adapter', 'base'}
  assert params['adapter']['audio_projection']['kernel'].shape == (1, 3, 6)
  assert params['adapter']['vision_tokens']['embedding'].shape == (1, 6)
  assert params['adapter']['vision_tokens']['hidden']['kernel'].shape == (6, 512)
  gradients = jax.jit(jax.grad(lambda p: jnp.abs(model.apply({'params': p}, clips)).sum()))(params)
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
    assert np.abs(leaf).max() > 0, jax.tree_util.keystr(path)


@pytest.mark.parametrize('name', NAMES)
def test_a_distillation_token_is_read_beside_the_users(name):
  """It has a head of its own, and begins as a copy of the user's token and head."""
  clips, config = clips_of(TWO), config_of(name, modalities=TWO, prompt_length=2)
  model, variables = initialised(config, clips)
  params = with_distillation_token(variables['params'])
  distilling = build(config, distilling=True)
  created = jax.eval_shape(distilling.init, fast_key(0), clips)['params']
  assert jax.tree.structure(created) == jax.tree.structure(params)
  assert jax.tree.map(jnp.shape, created) == jax.tree.map(jnp.shape, params)
  np.testing.assert_array_equal(
    *(params['base']['heads'][head]['score']['kernel'] for head in ('head', 'distillation_head'))
  )

  @jax.jit
  def traced(params):  # one program
    scores, pull = jax.vjp(
      lambda p: distilling.apply({'params': p}, clips, method='scores'), params
    )
    of_token = [pull(jnp.zeros((3, 2)).at[:, token].set(1))[0] for token in (0, 1)]
    return scores, distilling.apply({'params': params}, clips), of_token

  scores, mean, (of_user, of_distillation) = traced(params)
  assert scores.shape == (3, 2)
  np.testing.assert_allclose(mean, scores.mean(axis=1), atol=1e-6)

  def moved(tree):
    return [np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(tree)]

  assert all(moved(of_distillation['adapter']['audio_distillation_token']))
  assert not any(moved(of_distillation['base']['heads']['head']))
  if name == 'early_fusion':  # causal: the user's token, read first, does not see what is behind it
    assert not any(moved(of_user['adapter']['audio_distillation_token']))


def test_masked_is_the_reference_where_nothing_is_padded():
  padded, config = clips_of(TWO), config_of(modalities=TWO)
  clips = Clips(padded.sequences, {m: np.ones((3, STEPS[m]), bool) for m in TWO})
  masked, variables = initialised(config, clips)
  by_mask = jax.jit(lambda c: masked.apply(variables, c))
  by_reference = jax.jit(
    lambda c: build(config_of(modalities=TWO, attention='reference')).apply(variables, c)
  )
  np.testing.assert_allclose(by_reference(clips), by_mask(clips), atol=1e-6)
  assert np.abs(by_reference(padded) - by_mask(padded)).max() > 1e-3


def test_dropout_follows_its_key():
  clips = clips_of(TWO)
  model, variables = initialised(config_of(modalities=TWO), clips)
  train = jax.jit(
    lambda n: model.apply(
      variables, clips, train=True, rngs={'dropout': jax.random.fold_in(fast_key(0), n)}
    )
  )
  np.testing.assert_array_equal(train(1), train(1))
  assert np.abs(train(1) - train(2)).min() > 1e-4


def test_attention_dropout_only_where_the_target_is_language():
  """Paper facts: 0.1 towards language and in self-attention, none towards audio and vision."""
  rates = dict(embedding=0.0, attention=0.9, relu=0.0, residual=0.0, output=0.0)
  clips = clips_of(TWO)
  model, variables = initialised(config_of(modalities=TWO, dropout=rates), clips)
  captured = dict(capture_intermediates=lambda module, _: '_from_' in (module.name or ''))
  _, state = jax.jit(
    lambda: model.apply(variables, clips, train=True, rngs={'dropout': fast_key(0)}, **captured)
  )()
  _, plain = jax.jit(lambda: model.apply(variables, clips, **captured))()
  for name, dropped in state['intermediates']['base'].items():
    same = np.allclose(
      dropped['__call__'][0], plain['intermediates']['base'][name]['__call__'][0], atol=1e-5
    )
    assert same == (not name.startswith('language')), name


def test_a_kernel_longer_than_its_sequence_is_refused_where_nothing_is_padded():
  config = config_of(attention='reference', kernel_sizes=dict(language=3, audio=5, vision=1))
  expect_kernels_fit(config, dict(language=3, audio=5, vision=1))
  with pytest.raises(
    UserError, match='config.model.kernel_sizes.audio = 5: expected at most 4, the steps of'
  ):
    expect_kernels_fit(config, dict(language=3, audio=4, vision=1))
  config.attention = 'masked'
  expect_kernels_fit(config, dict(language=1, audio=1, vision=1))
