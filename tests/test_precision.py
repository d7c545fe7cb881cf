"""Every matrix product says how exact it is; GPUs would round its factors to TF32 otherwise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from traced import precisions

from persona_jax import config as config_lib
from persona_jax.data import batching
from persona_jax.model import build, products, softmax_attention
from persona_jax.persona import arms, effects, posterior, residual
from persona_jax.persona.effects import Effects
from persona_jax.persona.residual import Reading, ResidualPrior
from persona_jax.predictor import fine_tuned
from persona_jax.training import benchmark
from persona_jax.training.fine_tune import FineTuner, recipes
from persona_jax.training.steps import Pretraining
from persona_jax.types import MODALITIES

STEPS, WIDTHS = dict(zip(MODALITIES, (5, 9, 11), strict=True)), dict.fromkeys(MODALITIES, 4)


@pytest.fixture
def accelerators(monkeypatch):
  monkeypatch.setattr(softmax_attention, '_CHUNK_BYTES', {})
  monkeypatch.setattr(products, '_on_cpu', lambda: False)


@pytest.mark.parametrize('where', ['cpus', 'accelerators'])
@pytest.mark.parametrize('name', ['mult', 'early_fusion'])
@pytest.mark.parametrize('says, expected', [('float32', 'HIGHEST'), ('tensorfloat32', 'HIGH')])
def test_training_is_as_exact_as_the_config_says(says, expected, name, where, monkeypatch, request):
  if where == 'accelerators':
    request.getfixturevalue('accelerators')
  monkeypatch.setattr(build, '_build', build._build.__wrapped__)  # models not traced before
  config = config_lib.paper()
  config.model.update(name=name, num_layers=3, width=6, num_heads=2, matmul_precision=says)
  shared, inputs, clips = benchmark.random_clips(STEPS, WIDTHS, 4)
  steps = Pretraining(build.build(config.model), config, [STEPS])
  tuner = FineTuner(config, recipes(config.adapt)['fs_ua_token'])
  fold = inputs, batching.stack([batching.pad(clips, 4)])
  state = jax.eval_shape(steps.create_state, inputs, shared)
  arrays = shared.clips.padded(clips, STEPS), shared.labels, np.ones(4, np.float32), np.float32(1)
  for function, arguments in (
    (functools.partial(steps.train_step, 0), (state, fold, shared)),
    (steps.end_epoch, (state, fold, shared)),
    (tuner.personalise, (state.params, *arrays)),
  ):
    if where == 'accelerators':  # two folds in one program
      function, arguments = jax.vmap(function), jax.tree.map(two_of, arguments)
    assert precisions(function, *arguments) == {lax.Precision[expected]}


def two_of(leaf):
  return jax.ShapeDtypeStruct((2, *np.shape(leaf)), leaf.dtype)


def effects_of(num_features):
  ones = np.ones(num_features, np.float32)
  return Effects(ones, ones, np.float32(1))


def test_what_is_known_of_people_is_exact():
  rows, read = np.ones(5, np.float32), np.ones((5, 3), np.float32)
  components = np.ones((5, 2), np.float32)
  prior = ResidualPrior(Reading(read[0], components[:3]), effects_of(4))

  def known(predictions, components, labels, read):
    person = arms.observe_components(predictions, components, labels, jnp.ones(5))
    seen = person.residual
    slope = jax.grad(effects.log_marginal)(prior.effects, seen)
    return slope, posterior.summarised(residual.density(prior, seen, predictions, read))

  assert precisions(known, rows, components, rows, read) == {lax.Precision.HIGHEST}


def test_tokens_are_folded_exactly():
  network = {
    'embedding': jnp.ones((1, 3)),
    'hidden': {'kernel': jnp.ones((3, 3)), 'bias': jnp.ones(3)},
    'output': {'kernel': jnp.ones((3, 3)), 'bias': jnp.ones(3)},
  }
  found = set()

  def watched(*arguments, **options):
    found.add(jax.config.jax_default_matmul_precision)
    return jnp.ones((1, 3))

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(fine_tuned.jnp, 'tanh', watched)
    fine_tuned.folded({'adapter': {'a_tokens': network}})
  assert found == {'float32'}
