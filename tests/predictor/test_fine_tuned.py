"""People by the arms that fine-tune: saved, loaded, and going on from where they were."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from makers import predicted
from strangers import assert_alike, clips_of, of_speaker

from persona_jax.arms import FINE_TUNED
from persona_jax.errors import UserError
from persona_jax.model import predict
from persona_jax.predictor import fine_tuned
from persona_jax.training.fine_tune import FineTuner, recipes


@pytest.mark.parametrize('arm', FINE_TUNED)
def test_a_fine_tuned_person_saved_and_loaded_is_the_same(arm, predictor, strangers, tmp_path):
  """The token networks of a file are folded, and predictions are those of the whole model."""
  places = of_speaker(strangers, 2)
  support, query = places[:5], places[5:]
  person = predictor.fine_tune(clips_of(strangers, support), strangers.labels[support], arm)
  size = person.save(tmp_path / 'a.safetensors')
  loaded = fine_tuned.load(tmp_path / 'a.safetensors')
  assert (loaded.arm, loaded.num_clips, loaded.predictor) == (arm, 5, predictor.identity)
  clips = clips_of(strangers, query)
  scores = predictor.predict(clips, loaded)
  assert_alike([predictor.predict(clips, person).mean], [scores.mean], 0)
  assert np.isnan(scores.low).all() and size == (tmp_path / 'a.safetensors').stat().st_size
  recipe = recipes(predictor.config.adapt)[arm]
  tuner = FineTuner(predictor.config, recipe)
  whole = jax.jit(tuner.personalise)(
    predictor.params,
    predict.standardised(clips_of(strangers, support), predictor.normaliser),
    strangers.labels[support],
    np.ones(5, np.float32),
    np.float32(recipe.label_weight),
  )
  bound = functools.partial(predict.predict, tuner.model)
  expected = predicted(bound, whole, predictor.normaliser, strangers, query)
  np.testing.assert_allclose(scores.mean, expected, atol=1e-5)
  assert np.abs(scores.mean - predictor.predict(clips).mean).max() > 1e-4


def test_fine_tuning_goes_on_from_the_person(predictor, strangers):
  places = of_speaker(strangers, 2)
  clips, labels = clips_of(strangers, places[:5]), strangers.labels[places[:5]]
  once = predictor.fine_tune(clips, labels)
  twice = predictor.fine_tune(clips, labels, user=once)
  errors = [np.abs(predictor.predict(clips, user).mean - labels).mean() for user in (once, twice)]
  assert twice.num_clips == 10 and errors[1] < errors[0]
  with pytest.raises(UserError, match='fs_base cannot continue from fs_ua_kd'):
    predictor.fine_tune(clips, labels, 'fs_base', once)
  other = dataclasses.replace(once, predictor='0' * 32)
  with pytest.raises(UserError, match='adapted with another predictor'):
    predictor.predict(clips, other)
  short = dataclasses.replace(once, changed={'base': once.changed['base']})
  with pytest.raises(UserError, match='has other parameters than the predictor'):
    predictor.predict(clips, short)
