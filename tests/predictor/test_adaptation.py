"""People adapted to and predicted for from tables, as launch.adapt and launch.predict do."""

import csv
import io
import json
import multiprocessing
import re

import numpy as np
import pooling
import pytest
from launchers import run as launch
from makers import MOSI_FILES, smallest_grouped

from configs import mosi
from persona_jax.data import own_clips
from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.persona import arms
from persona_jax.persona.labels import GRID
from persona_jax.predictor import adaptation, advice, person, training
from persona_jax.predictor.people import People
from persona_jax.study import leave_one_speaker_out, user_session


def config_of():
  config = smallest_grouped(arms=('baseline', 'calibrated', 'bayes'))
  config.pretrain.update(valid_speakers=0.35, num_epochs=6, learning_rate=1e-2)
  return config


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('study')
  leave_one_speaker_out.run(config_of(), workdir)
  return workdir


@pytest.fixture(scope='module')
def study(workdir) -> Study:
  return user_session.opened(config_of(), workdir)


@pytest.fixture(scope='module')
def predictor(workdir):
  return training.of_fold(config_of(), workdir, 'group_01_seed_0')


def case_of(study, number=0):
  return [case for case in study.folds.cases if case.fold.name == 'group_01_seed_0'][number]


def table(study, folder, places, name='clips.csv', labelled=True):
  corpus = study.corpus
  own_clips.write(
    folder / name,
    corpus.clips.at(places),
    [corpus.names[place] for place in places],
    [corpus.speakers[place] for place in places],
    corpus.labels[places] if labelled else None,
  )
  return folder / name


def rows_of(text):
  return list(csv.DictReader(io.StringIO(text)))


def expect_agreement(predictor, study, workdir, cases, folder):
  """Users met through files made from the corpus have the study's predictions and intervals.

  Returns:
    The number of clips that were compared.
  """
  with (workdir / 'predictions.csv').open() as file:
    studys = [row for row in csv.DictReader(file) if row['arm'] == 'bayes' and row['draw'] == '0']
  people = People(folder / 'users')
  support = np.concatenate([study.draws(case).support[0] for case in cases])
  source = table(study, folder, support)
  adaptation.adapt(predictor, people, adaptation.read(predictor, source), chosen=False)
  clips = np.concatenate([case.user.clips for case in cases])
  everything = table(study, folder, clips, 'all.csv', labelled=False)
  given = adaptation.read(predictor, everything)
  text = adaptation.as_csv(adaptation.predictions(predictor, people, given))
  found = {row['clip']: row for row in rows_of(text)}
  names = {case.user.name for case in cases}
  expected = [row for row in studys if row['user'] in names]
  for row in expected:
    for field in ('prediction', 'low', 'high'):
      assert float(found[row['clip']][field]) == pytest.approx(float(row[field]), abs=1e-5)
  return len(expected)


def test_newcomers_through_their_own_clips_are_as_in_the_study(predictor, study, workdir, tmp_path):
  """For the users of a fold: prediction and interval of `bayes`, on files made from the corpus."""
  cases = [case_of(study, number) for number in range(3)]
  assert expect_agreement(predictor, study, workdir, cases, tmp_path) > 15


@pytest.mark.slow
def test_newcomers_of_real_data_are_as_in_the_study(mosi_root, tmp_path):
  """Ten speakers of CMU-MOSI, of whom the predictor of the other 83 knows nothing."""
  config = mosi.get_config('grouped')
  config.data.update(root=str(mosi_root), max_steps=dict(language=8, audio=12, vision=12))
  config.data.update(MOSI_FILES)
  config.model.name = pooling.NAME
  config.pretrain.num_epochs = 2
  arms = ('baseline', 'calibrated', 'bayes')
  config.study.update(num_groups=9, folds=(0,), num_draws=1, arms=arms, attention=False)
  workdir = tmp_path / 'study'
  leave_one_speaker_out.run(config, workdir)
  study = user_session.opened(config, workdir)
  predictor = training.of_fold(config, workdir, 'group_00_seed_0')
  assert len(study.folds.cases) == 10
  assert expect_agreement(predictor, study, workdir, study.folds.cases, tmp_path) == 200  # of 250


def test_the_calibrated_arm_is_what_a_stranger_gets(predictor, study, workdir):
  case = case_of(study)
  with (workdir / 'predictions.csv').open() as file:
    studys = {
      row['clip']: float(row['prediction'])
      for row in csv.DictReader(file)
      if (row['user'], row['arm'], row['draw']) == (case.user.name, 'calibrated', '0')
    }
  scores = predictor.predict(study.corpus.clips.at(case.user.clips))
  for place, mean in zip(case.user.clips, scores.mean, strict=True):
    if (name := study.corpus.names[place]) in studys:
      assert mean == pytest.approx(studys[name], abs=1e-5)


def test_more_clips_continue_where_the_person_was(predictor, study, tmp_path):
  case, people = case_of(study), People(tmp_path / 'users')
  first = adaptation.read(predictor, table(study, tmp_path, case.user.clips[:3]))
  second = adaptation.read(predictor, table(study, tmp_path, case.user.clips[3:7], 'more.csv'))
  adaptation.adapt(predictor, people, first, chosen=False)
  said = adaptation.adapt(predictor, people, second, chosen=True)
  assert 'learned from 4 clips, taken for chosen by their labels; known by 7 clips' in said
  found = predictor.person(people.path(case.user.name))
  assert found.num_clips == 7 and found.chosen.sum() == 4
  with pytest.raises(UserError, match='a clip is already known of this person'):
    adaptation.adapt(predictor, people, second, chosen=True)
  said = adaptation.forget(predictor, people, case.user.name, [second.names[0]])
  assert 'known by 6 clips' in said
  assert predictor.person(people.path(case.user.name)).num_clips == 6


def test_a_wrong_label_is_a_surprise_and_right_ones_seldom_are(predictor, study):
  surprises, wrong, count = 0, 0, 0
  for case in study.folds.cases:
    if case.fold.name != 'group_01_seed_0':
      continue
    clips, labels = study.corpus.clips.at(case.user.clips), study.corpus.labels.copy()
    labels = labels[case.user.clips]
    known = predictor.adapt(clips, labels)
    surprises += advice.surprising(predictor, known).sum()
    count += len(labels)
    worst = int(np.abs(labels).argmax())
    labels[worst] = -3 * np.sign(labels[worst])
    names = [str(place) for place in range(len(labels))]
    known = predictor.adapt(clips, labels, names=names)
    place = int(np.flatnonzero(known.clips == person.identifier(str(worst)))[0])
    wrong += advice.surprising(predictor, known)[place]
  assert surprises < 0.06 * count and wrong >= 2


def test_a_label_is_judged_by_the_other_clips_alone(predictor, study):
  """The only clip of a person is judged as anybody's: by what is known without it."""
  places = case_of(study).user.clips[:1]
  known = predictor.adapt(study.corpus.clips.at(places), [2.5])
  priors = predictor.fitted_priors
  phi = np.concatenate([[1], known.predictions, known.components[0]])[None].astype(np.float32)
  (density,) = arms.bayes(priors, arms.known(priors, arms.nobody(priors)), phi)
  above = np.asarray(density)[GRID >= 2.5].sum()
  rows = (known.predictions, known.components, known.labels, known.chosen)
  np.testing.assert_allclose(advice._tails(priors, *rows), [2 * above], rtol=1e-3)


def test_the_clips_worth_a_label_narrow_the_posterior_most(predictor, study):
  """Of all first clips, the suggested one leaves the smallest volume; and none comes twice."""
  clips = study.corpus.clips.at(case_of(study).user.clips)
  order = advice.worth_a_label(predictor, predictor.nobody(), clips, 100)
  assert sorted(order) == list(range(len(clips.masks['language'])))
  prior = predictor.fitted_priors.residual.effects
  precision = np.diag(1 / np.asarray(prior.variance, float))
  volumes = []
  for prediction, components in zip(*predictor.features(clips), strict=True):
    phi = np.array([1, prediction, *components], float)
    volumes.append(-np.linalg.slogdet(precision + np.outer(phi, phi) / float(prior.noise))[1])
  assert order[0] == int(np.argmin(volumes))


def _add_one(arguments):
  predictor_folder, users, source = arguments
  from persona_jax.predictor import predictor as predictor_lib

  predictor = predictor_lib.load(predictor_folder)
  adaptation.adapt(predictor, People(users), adaptation.read(predictor, source), chosen=False)


def test_writers_of_one_person_lose_no_clip(predictor, study, tmp_path):
  predictor.save(tmp_path / 'p')
  case = case_of(study)
  jobs = []
  for number in range(4):
    folder = tmp_path / str(number)
    folder.mkdir()
    source = table(study, folder, case.user.clips[2 * number : 2 * number + 2])
    jobs.append((tmp_path / 'p', tmp_path / 'users', source))
  with multiprocessing.get_context('spawn').Pool(2) as pool:
    pool.map(_add_one, jobs, chunksize=1)
  assert predictor.person(People(tmp_path / 'users').path(case.user.name)).num_clips == 8
  assert not list((tmp_path / 'users').glob('*.tmp'))


def test_a_table_is_written_as_parquet(tmp_path):
  table = dict(clip=['a', 'b'], prediction=[np.float32(0.5), np.float32(-1)], low=[None, None])
  try:
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]
  except ImportError:
    with pytest.raises(UserError, match='Parquet needs pyarrow: pip install pyarrow'):
      adaptation.write_table(tmp_path / 'x.parquet', table)
    return
  adaptation.write_table(tmp_path / 'x.parquet', table)
  assert parquet.read_table(tmp_path / 'x.parquet').to_pydict() == table


def test_the_commands(predictor, study, tmp_path):
  """As launch/README.md has them."""
  predictor.save(tmp_path / 'p')
  case = case_of(study)
  alice, other = case.user.clips, case_of(study, 1).user.clips
  common = [f'--predictor={tmp_path / "p"}', f'--users={tmp_path / "users"}']
  source = table(study, tmp_path, alice[:5], 'alice.csv')
  with source.open('a') as file:
    file.write('broken,,9,,,\n')
  said = launch('adapt', *common, f'--clips={source}')
  assert f'- {case.user.name}: learned from 5 clips, taken for a random choice' in said
  assert re.search(r'line 7 \(clip broken\): label 9, expected -3 to 3', said)
  (size,) = re.findall(r'(\d+) bytes', said)
  assert int(size) < 4096
  new = table(study, tmp_path, np.concatenate([alice[5:9], other[:2]]), 'new.csv', labelled=False)
  output = tmp_path / 'scores.csv'
  launch('predict', *common, f'--clips={new}', f'--output={output}')
  rows = rows_of(output.read_text())
  assert [row['known'] for row in rows] == ['1'] * 4 + ['0'] * 2
  assert all(float(row['low']) <= float(row['prediction']) <= float(row['high']) for row in rows)
  said = launch('adapt', *common, f'--clips={new}', f'--user={case.user.name}', '--suggest=2')
  assert 'No clip has a label.' in said and 'a label would be worth most for' in said
  clip = study.corpus.names[alice[0]]
  said = launch('adapt', *common, f'--user={case.user.name}', f'--forget={clip}')
  assert 'known by 4 clips' in said
  about = json.loads((tmp_path / 'p' / 'predictor.json').read_text())
  assert about['described']['facts']['fold'] == 'group_01_seed_0'
