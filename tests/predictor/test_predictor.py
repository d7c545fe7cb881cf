"""A predictor in use: the same numbers, for one person or many, in any portions."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from makers import predicted
from strangers import adapted, assert_alike, clips_of, of_speaker

from persona_jax.errors import UserError
from persona_jax.model import predict
from persona_jax.model.build import build
from persona_jax.persona import arms
from persona_jax.predictor import batches
from persona_jax.types import Clips


def test_people_are_predicted_better_than_without_their_clips(predictor, strangers):
  """On clips that they never gave; the mean over people is off zero."""
  differences = []
  for number in range(24):
    places = of_speaker(strangers, number)
    support, query = places[:5], places[5:]
    person, labels = adapted(predictor, strangers, support), strangers.labels[query]
    errors = [
      np.abs(predictor.predict(clips_of(strangers, query), user).mean - labels).mean()
      for user in (person, None)
    ]
    differences.append(errors[0] - errors[1])
  assert np.mean(differences) + 2 * np.std(differences) / np.sqrt(24) < 0


def test_a_prediction_is_that_of_the_arm_bayes(predictor, strangers):
  """From the parts that a study uses: the model's reading, and the person's sums."""
  places = of_speaker(strangers, 3)
  support, query = places[:5], places[5:]
  predictions, read = predicted(
    functools.partial(predict.predict_and_read, build(predictor.config.model)),
    predictor.params,
    predictor.normaliser,
    strangers,
    places,
  )
  person = arms.observe(
    predictor.priors, predictions[:5], read[:5], strangers.labels[support], np.ones(5)
  )
  expected = arms.sentiment(arms.BAYES, predictor.priors, person, predictions[5:], read[5:])
  found = predictor.predict(clips_of(strangers, query), adapted(predictor, strangers, support))
  assert_alike(found, (expected.mean, expected.lower, expected.upper), 1e-4)


def test_a_prediction_depends_on_neither_neighbours_nor_padding(predictor, strangers):
  places = of_speaker(strangers, 1)
  person = adapted(predictor, strangers, places[:5])
  together = predictor.predict(clips_of(strangers, places), person)
  alone = [predictor.predict(clips_of(strangers, places[i : i + 1]), person) for i in range(3)]
  for place, one in enumerate(alone):
    assert_alike(one, [values[place : place + 1] for values in together])
  clips = clips_of(strangers, places)
  longer = Clips(
    {m: np.pad(x, [(0, 0), (0, 9), (0, 0)]) for m, x in clips.sequences.items()},
    {m: np.pad(x, [(0, 0), (0, 9)]) for m, x in clips.masks.items()},
  )
  assert_alike(predictor.predict(longer, person), together)


def test_mixed_people_are_predicted_as_each_alone(predictor, strangers):
  people = [adapted(predictor, strangers, of_speaker(strangers, n)[: 1 + n]) for n in range(11)]
  people.append(predictor.nobody())
  own_places = [of_speaker(strangers, number)[8:] for number in range(12)]
  places = np.concatenate(own_places)
  of_clip = np.repeat(np.arange(12), [len(own) for own in own_places])
  order = np.random.default_rng(0).permutation(len(places))
  mixed = predictor.predict_mixed(clips_of(strangers, places[order]), people, of_clip[order])
  for number, person in enumerate(people):
    own = of_clip[order] == number
    alone = predictor.predict(clips_of(strangers, places[order][own]), person)
    assert_alike(alone, [values[own] for values in mixed])


def test_clips_in_two_portions_or_at_once_and_forgotten_ones(predictor, strangers):
  places = of_speaker(strangers, 5)
  names = [strangers.names[place] for place in places]

  def adapt(chosen, user=None):
    return adapted(
      predictor, strangers, places[chosen], user=user, names=[names[i] for i in chosen]
    )

  at_once = adapt([0, 1, 2, 3, 4])
  halves = adapt([4, 1], adapt([3, 0, 2]))
  clips = clips_of(strangers, places[6:])
  assert_alike(predictor.predict(clips, at_once), predictor.predict(clips, halves), 1e-5)
  before = adapt([0, 1, 2])
  after = at_once.forget(names[4]).forget(names[3])
  assert_alike(predictor.predict(clips, before), predictor.predict(clips, after), 1e-5)
  nobody = before.forget(names[0]).forget(names[1]).forget(names[2])
  assert_alike(predictor.predict(clips, nobody), predictor.predict(clips), 1e-5)
  with pytest.raises(UserError, match='a clip is already known'):
    adapt([3], at_once)
  with pytest.raises(UserError, match='a clip is given twice'):
    adapt([0, 0])


def test_chosen_clips_teach_no_label_mean(predictor, strangers):
  """Told so, clips of one sign move predictions less than the same clips taken at random."""
  moved = {}
  for chosen in (False, True):
    changes = []
    for number in range(12):
      places = of_speaker(strangers, number)
      positive = places[strangers.labels[places] > 0][:5]
      clips = clips_of(strangers, np.setdiff1d(places, positive))
      person = adapted(predictor, strangers, positive, chosen=chosen)
      changes.append((predictor.predict(clips, person).mean - predictor.predict(clips).mean).mean())
    moved[chosen] = np.mean(changes)
  assert moved[False] > moved[True] + 0.1


def test_a_person_without_clips_is_nobody_and_another_predictors_person_is_refused(
  predictor, strangers, tmp_path
):
  places = of_speaker(strangers, 0)
  clips = clips_of(strangers, places)
  assert_alike(predictor.predict(clips, predictor.nobody()), predictor.predict(clips), 0)
  person = adapted(predictor, strangers, places[:3])
  person.save(tmp_path / 'a.safetensors')
  assert predictor.person(tmp_path / 'a.safetensors').num_clips == 3
  stranger = dataclasses.replace(person, predictor='0' * 32)
  stranger.save(tmp_path / 'b.safetensors')
  with pytest.raises(UserError, match='b.safetensors: the person was adapted with another predic'):
    predictor.person(tmp_path / 'b.safetensors')
  with pytest.raises(UserError, match='adapted with another predictor'):
    predictor.predict(clips, stranger)


@pytest.mark.cpus
def test_many_clips_are_shared_by_devices_and_predicted_as_by_one(
  predictor, strangers, monkeypatch
):
  clips = clips_of(strangers, np.arange(150) % len(strangers.labels))
  devices, shared, read = jax.local_devices(), predictor.predict(clips), predictor.read(clips)
  padded = batches.padded(clips, 256, predictor.steps)
  found, _ = predictor._programs.read(predictor.params, predictor.normaliser, padded)
  assert len(devices) == len(found.sharding.device_set) == 2
  monkeypatch.setattr(jax, 'local_devices', lambda: devices[:1])
  alone = dataclasses.replace(predictor)  # with programs of its own
  for one, two in zip((*alone.predict(clips), *alone.read(clips)), (*shared, *read), strict=True):
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-5)
