"""A predictor on disk and in use: the same numbers, for one person or many, in any batch."""

import dataclasses
import functools
import json
import shutil

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from launchers import complaint
from launchers import run as launch
from makers import SMALLEST, break_file, predicted, smallest_config

import persona_jax
from persona_jax.arms import FINE_TUNED
from persona_jax.data import loading
from persona_jax.errors import UserError
from persona_jax.model import predict
from persona_jax.model.build import build
from persona_jax.persona import arms
from persona_jax.predictor import batches, fine_tuned, training
from persona_jax.training.fine_tune import FineTuner, recipes
from persona_jax.types import Clips


def config_of(seed=0):
  config = smallest_config()
  config.pretrain.update(num_epochs=12, learning_rate=1e-2, valid_speakers=0.35)
  config.data.update(num_speakers=24, clips_per_speaker=14, seed=seed)
  return config


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('predictor') / 'p'
  training.train(config_of(), folder)
  return folder


@pytest.fixture(scope='module')
def predictor(folder):
  return persona_jax.load(folder)


@pytest.fixture(scope='module')
def strangers():
  """A corpus of speakers whom the predictor has never met."""
  return loading.load(config_of(seed=7))


def clips_of(corpus, places):
  return corpus.clips.at(places)


def of_speaker(corpus, number):
  name = sorted(set(corpus.speakers))[number]
  return np.flatnonzero(np.array(corpus.speakers) == name)


def adapted(predictor, corpus, places, **how):
  return predictor.adapt(clips_of(corpus, places), corpus.labels[places], **how)


def assert_alike(one, other, tolerance=1e-5):
  for first, second in zip(one, other, strict=True):
    np.testing.assert_allclose(first, second, atol=tolerance)


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


def test_a_loaded_predictor_is_the_trained_one(folder, strangers, tmp_path):
  first = persona_jax.load(folder)
  first.save(tmp_path / 'again')
  second = persona_jax.load(tmp_path / 'again')
  assert first.identity == second.identity
  jax.tree.map(
    np.testing.assert_array_equal,
    (first.params, first.normaliser, first.priors),
    (second.params, second.normaliser, second.priors),
  )
  places = of_speaker(strangers, 0)
  clips = clips_of(strangers, places)
  assert_alike(first.predict(clips), second.predict(clips), 0)


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


def test_more_clips_than_one_program_holds(predictor, strangers, monkeypatch):
  clips = clips_of(strangers, np.arange(40))
  whole = predictor.predict(clips)
  monkeypatch.setattr(batches, 'LARGEST', 16)
  assert_alike(predictor.predict(clips), whole)


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


@pytest.mark.parametrize(
  'change, said',
  [
    (lambda clips, labels: (clips, labels[:-1]), r'labels of shape \[2\]: expected one per clip'),
    (lambda clips, labels: (clips, labels * np.nan), 'clip 0: label nan, expected -3 to 3'),
    (lambda clips, labels: (clips, labels + 9), 'expected -3 to 3'),
    (lambda clips, labels: (Clips({}, {}), labels), 'no language; where a clip lacks it, give a'),
    (
      lambda clips, labels: (
        Clips({'language': clips.sequences['language'][..., :2]}, clips.masks),
        labels,
      ),
      r'language of shape \[3, .*expected \[clips, steps, 13\]',
    ),
    (
      lambda clips, labels: (
        Clips({m: x * np.nan for m, x in clips.sequences.items()}, clips.masks),
        labels,
      ),
      'a value of language is not finite',
    ),
  ],
)
def test_clips_and_labels_that_cannot_be_used(change, said, predictor, strangers):
  places = np.arange(3)
  with pytest.raises(UserError, match=said):
    predictor.adapt(*change(clips_of(strangers, places), strangers.labels[places]))


def test_the_folder_says_what_it_is(folder):
  card = (folder / 'README.md').read_text()
  assert 'other speakers chose the epoch' in card and '| language | 13 |' in card
  about = json.loads((folder / 'predictor.json').read_text())
  assert about['described']['facts']['trained_on']['train_speakers'] > 10


def test_a_damaged_missing_or_newer_predictor_is_refused(folder, tmp_path):
  with pytest.raises(UserError, match='no predictor; expected a folder'):
    persona_jax.load(tmp_path)
  for how in ('truncated', 'flipped'):
    copy = tmp_path / how
    shutil.copytree(folder, copy)
    break_file(copy / 'params', how)
    with pytest.raises(UserError, match='a predictor is damaged .* train it again'):
      persona_jax.load(copy)
  copy = tmp_path / 'edited'
  shutil.copytree(folder, copy)
  text = (copy / 'predictor.json').read_text()
  (copy / 'predictor.json').write_text(text.replace('"model"', '"modem"'))
  with pytest.raises(UserError, match='its checksum differs'):
    persona_jax.load(copy)


@given(st.data())
@settings(deadline=None, max_examples=15)
def test_a_predictor_is_loaded_whole_or_refused_in_one_sentence(folder, tmp_path_factory, data):
  copy = tmp_path_factory.mktemp('damaged') / 'p'
  shutil.copytree(folder, copy)
  paths = sorted(path for path in copy.rglob('*') if path.is_file() and path.name != 'README.md')
  path = data.draw(st.sampled_from(paths))
  content = bytearray(path.read_bytes())
  how = data.draw(st.sampled_from(['truncated', 'flipped', 'gone', 'swapped']))
  if how == 'gone':
    path.unlink()
  elif how == 'swapped':
    path.write_bytes(data.draw(st.sampled_from(paths)).read_bytes())
  elif how == 'truncated' and content:
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
  elif content:
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
  if path.exists() and path.read_bytes() == (folder / path.relative_to(copy)).read_bytes():
    return  # an empty file cannot be cut, and a file is no other than itself
  with pytest.raises(UserError) as refused:
    persona_jax.load(copy)
  assert '\n' not in str(refused.value)


def test_a_folder_is_never_replaced_and_a_study_must_fit(folder, tmp_path):
  with pytest.raises(UserError, match='exists; name a new folder'):
    training.train(config_of(), folder)
  with pytest.raises(UserError, match='exists; name a new folder'):
    persona_jax.load(folder).save(folder)
  assert not list(folder.parent.glob('*.training'))


FLAGS = [
  *SMALLEST,
  '--config.data.num_speakers=24',
  '--config.data.clips_per_speaker=14',
  '--config.pretrain.valid_speakers=0.35',
]
GROUPED = [
  '--config.study.protocol=grouped',
  '--config.pretrain.validation=speakers',
  "--config.study.arms=('baseline','calibrated','bayes')",
]


def test_the_launcher_prints_the_card_with_what_a_study_measured(tmp_path):
  study, predictor = f'--study={tmp_path / "study"}', f'--predictor={tmp_path / "p"}'
  launch('study', *FLAGS, *GROUPED, f'--workdir={tmp_path / "study"}')
  text = launch('train', *FLAGS, predictor, study)
  assert '| Bayes | ' in text and 'held-out speakers, with 5 labelled clips of each' in text
  assert text.strip() == (tmp_path / 'p' / 'README.md').read_text().strip()
  other = f'--predictor={tmp_path / "q"}'
  said = complaint('train', *FLAGS, '--config.pretrain.num_epochs=3', other, study)
  assert 'a study of other settings (config.pretrain.num_epochs is 2 there and 3 here)' in said
  assert not (tmp_path / 'q').exists() and not list(tmp_path.glob('*.training'))
