"""Any number of clips is predicted as in one batch."""

import jax
import numpy as np
import pytest

from persona_jax.data import normalize
from persona_jax.model import predict
from persona_jax.model.build import build
from persona_jax.model.fast_prng import fast_key


@pytest.fixture(scope='module')
def fitted(config, corpus):
  config.normalise.modalities = ('language',)
  return normalize.fit(corpus.clips, np.arange(0, 20), config.normalise)


def test_clips_are_gathered_in_order_and_standardised(corpus, fitted):
  gathered = predict.gather(corpus.clips, fitted, np.array([7, 3]))
  expected = normalize.apply(fitted, 'language', corpus.clips.sequences['language'])
  np.testing.assert_array_equal(gathered.sequences['language'], expected[[7, 3]])
  np.testing.assert_array_equal(gathered.masks['language'], corpus.clips.masks['language'][[7, 3]])
  assert (expected != corpus.clips.sequences['language']).any()


@pytest.mark.parametrize('count', [1, predict.CHUNK, predict.CHUNK + 5])
def test_chunks_are_one_batch(count, config, corpus, fitted):
  model, clips = build(config.model), jax.device_put(corpus.clips)
  indices = np.random.default_rng(0).permutation(len(corpus.names))[:count]
  batch = predict.gather(clips, fitted, indices)
  params = jax.jit(model.init)(fast_key(0), batch)['params']
  predictions = predict.predict(model, params, fitted, clips, indices)
  assert predictions.shape == (count,)
  np.testing.assert_allclose(predictions, model.apply({'params': params}, batch), atol=1e-6)
