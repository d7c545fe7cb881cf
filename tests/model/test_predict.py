"""Any number of clips is predicted as in one batch, and what the heads read."""

import functools

import jax
import numpy as np
import pytest
from makers import everything, predicted

from configs import synthetic
from persona_jax.data import batching, loading, normalize
from persona_jax.model import predict
from persona_jax.model.build import PersonalPredictor, build
from persona_jax.model.fast_prng import fast_key


@pytest.fixture(scope='module')
def fitted(config, corpus):
  config.normalise.modalities = ('language',)
  return normalize.fit(corpus.clips, np.arange(0, 20), config.normalise)


def test_clips_are_gathered_in_order_and_standardised(corpus, fitted):
  gathered = predict.gather(corpus.clips, fitted, np.array([7, 3]), corpus.clips.steps)
  clips = everything(corpus)
  mask = clips.masks['language'][[7, 3]]
  expected = normalize.apply(fitted, 'language', clips.sequences['language'][[7, 3]])
  np.testing.assert_array_equal(gathered.sequences['language'][mask], expected[mask])
  np.testing.assert_array_equal(gathered.masks['language'], mask)
  assert (expected != clips.sequences['language'][[7, 3]]).any()


@pytest.mark.parametrize('count', [1, predict.CHUNK, predict.CHUNK + 5])
def test_chunks_are_one_batch(count, config, corpus, fitted):
  model = build(config.model)
  indices = np.random.default_rng(0).permutation(len(corpus.names))[:count]
  batch = predict.gather(corpus.clips, fitted, indices, corpus.clips.steps)
  params = jax.jit(model.init)(fast_key(0), batch)['params']
  predictions = predicted(
    functools.partial(predict.predict, model), params, fitted, corpus, indices
  )
  assert predictions.shape == (count,)
  np.testing.assert_allclose(predictions, model.apply({'params': params}, batch), atol=1e-6)


def test_a_users_padding_is_not_predicted(corpus, fitted):
  """Of 3 clips padded to 20, the rows of the first chunk are predictions, the others 0."""
  chosen, num_rows = np.array([7, 3, 5]), 2 * predict._FEW + 4
  clips, steps = jax.device_put(corpus.clips), corpus.clips.steps

  def count_words(clips):
    return clips.masks['language'].sum(axis=1).astype(np.float32)

  rows = jax.jit(
    lambda own: predict.of_user(count_words, clips, fitted, [own, own], [steps, steps])
  )(batching.pad(chosen, num_rows))
  words = corpus.clips.lengths['language']
  expected = np.zeros(num_rows)
  expected[: predict._FEW] = words[0]  # what padding is of
  expected[:3] = words[chosen]
  np.testing.assert_array_equal(rows, np.tile(expected, 2))


@pytest.mark.parametrize('name', ['early_fusion', 'mult'])
def test_what_is_read_makes_the_prediction(name, monkeypatch):
  """The head, applied by hand to what was read, gives the prediction; 5 clips in chunks of 2."""
  monkeypatch.setattr(predict, 'CHUNK', 2)
  config = synthetic.get_config('smoke')
  config.model.name = name
  corpus = loading.load(config)
  normaliser = normalize.fit(corpus.clips, np.arange(9), config.normalise)
  model, chosen = build(config.model), np.array([3, 1, 4, 1, 5])
  first = predict.gather(corpus.clips, normaliser, chosen[:1], corpus.clips.steps)
  params = jax.jit(model.init)(fast_key(0), first)['params']
  predictions, read = predicted(
    functools.partial(predict.predict_and_read, model), params, normaliser, corpus, chosen
  )
  plain = predicted(functools.partial(predict.predict, model), params, normaliser, corpus, chosen)
  np.testing.assert_allclose(predictions, plain, atol=1e-6)
  head = params['base']['heads']['head']
  inner = np.maximum(read @ head['expand']['kernel'] + head['expand']['bias'], 0)
  block = read + inner @ head['contract']['kernel'] + head['contract']['bias']
  by_hand = (block @ head['score']['kernel'] + head['score']['bias'])[:, 0]
  np.testing.assert_allclose(predictions, by_hand, atol=1e-5)


def test_programs_share_the_trace_of_a_model_and_a_shape(config, corpus, fitted, monkeypatch):
  traced, scores = [], PersonalPredictor.scores
  monkeypatch.setattr(
    PersonalPredictor, 'scores', lambda self, *given: traced.append(self) or scores(self, *given)
  )
  config = config.copy_and_resolve_references()
  config.model.dropout.output = 0.123  # a model that no other test has traced
  clips = predict.gather(corpus.clips, fitted, np.arange(3), corpus.clips.steps)
  params = jax.eval_shape(build(config.model).init, fast_key(0), clips)['params']
  traced.clear()

  def trace(model, clips, factor):
    jax.eval_shape(lambda params: factor * predict.predict(model, params, clips), params)
    return len(traced)

  assert trace(build(config.model), clips, 2) == trace(build(config.model), clips, 3) == 1
  fewer = predict.gather(corpus.clips, fitted, np.arange(2), corpus.clips.steps)
  assert trace(build(config.model), fewer, 2) == 2
  config.model.dropout.output = 0.124
  assert trace(build(config.model), clips, 2) == 3
