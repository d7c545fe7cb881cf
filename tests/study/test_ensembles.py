"""Several teachers per fold, and controls beside the study: their records, and what is reused."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from launchers import run as launch
from launchers import start, wait_for
from makers import SMALLEST, smallest_grouped

from persona_jax import arms as arms_lib
from persona_jax.arms import CONTROLS, ENSEMBLES, MEMBER_OF
from persona_jax.study import leave_one_speaker_out
from persona_jax.study.adaptation import StudyPersonaliser
from persona_jax.study.personas import BayesianArms
from persona_jax.study.programs import Cell
from persona_jax.study.teacher_predictions import TeacherPredictor
from persona_jax.training import pretrain

SINGLE = ('baseline', 'mean_shift', 'fs_ua', 'fs_ua_kd', *arms_lib.BAYESIAN)
FILES = ('records.jsonl', 'predictions.csv')


def grouped(**study):
  return smallest_grouped(**dict(shots=(1, 5), arms=SINGLE) | study)


def of_two_teachers(**study):
  whole = dict(teachers=2, arms=(*SINGLE, *ENSEMBLES), controls=tuple(CONTROLS))
  return grouped(**whole | study)


def rows_of(workdir, arm=None):
  with (workdir / 'predictions.csv').open() as file:
    return [row for row in csv.DictReader(file) if arm in (None, row['arm'])]


def records_of(workdir):
  return [json.loads(line) for line in (workdir / 'records.jsonl').read_text().splitlines()]


def predictions_of(workdir, arm, shots):
  return np.array(
    [float(row['prediction']) for row in rows_of(workdir, arm) if row['num_support'] == str(shots)]
  )


@pytest.fixture(scope='module')
def one_teacher(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('one')
  leave_one_speaker_out.run(grouped(), workdir)
  return workdir


@pytest.fixture(scope='module')
def finished(one_teacher):
  """The study of one teacher, to which a second teacher, its arms and controls are added."""
  before = {arm: rows_of(one_teacher, arm) for arm in SINGLE}
  leave_one_speaker_out.run(of_two_teachers(), one_teacher)
  return one_teacher, before


@pytest.fixture(scope='module')
def of_each_teacher(finished):
  """What each teacher and its users' students predict, read from the checkpoints."""
  workdir, _ = finished
  with leave_one_speaker_out.opened(of_two_teachers(), workdir) as study:
    teachers = pretrain.pretrain(study)
    plain = TeacherPredictor(study).predict(teachers)
    *_, personal = StudyPersonaliser(study).run(teachers)
  return study, teachers, plain, personal


def in_order(study, rows_of_case, cell):
  """Predictions of all trials of an arm, in the order of `predictions.csv`."""
  values = []
  for case in study.folds.cases:
    if cell.shots in study.shots(case):
      rows = rows_of_case(case)
      values += [row[query] for row, query in zip(rows, study.draws(case).query, strict=False)]
  return np.concatenate(values)


def test_a_second_teacher_leaves_the_arms_of_the_first_as_they_were(finished):
  workdir, before = finished
  for arm in SINGLE:
    after = rows_of(workdir, arm)
    assert len(after) == len(before[arm]) > 0
    if arm in arms_lib.BAYESIAN:  # computed again, in a program with more arms
      for field in ('prediction', 'low', 'high'):
        np.testing.assert_allclose(
          [float(row[field]) for row in after],
          [float(row[field]) for row in before[arm]],
          atol=1e-4,
        )
    else:
      assert after == before[arm]


def test_the_ensemble_is_the_mean_of_its_teachers(finished, of_each_teacher):
  workdir, _ = finished
  study, _, plain, _ = of_each_teacher
  folds = study.folds.of_teachers
  of_fold = {fold.name: said for fold, said in zip(folds, plain, strict=True)}

  def mean(case):
    each = [of_fold[one.fold.name].held_out[case.places] for one in members(study, case)]
    assert np.abs(each[0] - each[1]).max() > 1e-3  # the teachers differ
    return [np.mean(each, axis=0)] * 2

  expected = in_order(study, mean, Cell('ensemble', 5))
  np.testing.assert_allclose(predictions_of(workdir, 'ensemble', 5), expected, atol=1e-6)


def members(study, case):
  return study.folds.of_all_teachers(case)


@pytest.mark.parametrize('shots', [1, 5])
def test_fine_tuned_ensembles_are_the_mean_of_their_students(shots, finished, of_each_teacher):
  workdir, _ = finished
  study, _, _, personal = of_each_teacher
  cell = Cell('fs_ua_kd', shots)

  def mean(case):
    return np.mean([personal[one.name][cell] for one in members(study, case)], axis=0)

  expected = in_order(study, mean, cell)
  found = predictions_of(workdir, 'ensemble_fs_ua_kd', shots)
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_further_teachers_fine_tune_only_what_the_ensemble_averages(of_each_teacher):
  study, _, _, personal = of_each_teacher
  for case in study.folds.cases:
    first, second = ({cell.arm for cell in personal[one.name]} for one in members(study, case))
    assert first == {'fs_ua', 'fs_ua_kd'} and second == {'fs_ua_kd'}


def test_a_bayesian_ensemble_has_the_mean_of_what_each_teacher_says(of_each_teacher, tmp_path):
  """The mean of a mixture is the mean of the means; each teacher is asked alone."""
  study, teachers, _, personal = of_each_teacher
  case = study.folds.cases[0]
  each = members(study, case)
  whole = BayesianArms(study, teachers).predict(case, [personal[one.name] for one in each])
  alone = []
  for number, one in enumerate(each):
    fold = dataclasses.replace(one.fold, teacher=0)
    plan = dataclasses.replace(study.folds, chosen=(fold,), num_teachers=1)
    config = grouped(arms=tuple(arm for arm in SINGLE if arm != 'fs_ua'))
    single = dataclasses.replace(study, config=config, folds=plan, workdir=tmp_path / str(number))
    (its_case,) = (c for c in fold.cases if c.user is case.user)
    names = [fold.name for fold in study.folds.of_teachers]
    chosen = [teachers[names.index(one.fold.name)]]
    alone.append(BayesianArms(single, chosen).predict(its_case, [personal[one.name]]))
  for arm in ENSEMBLES:
    if not arms_lib.is_bayesian(arm):
      continue
    cell, member = Cell(arm, 5), Cell(MEMBER_OF[arm], 5)
    expected = np.mean([found[member].mean for found in alone], axis=0)
    np.testing.assert_allclose(whole[cell].mean, expected, atol=1e-4)
    widths = [found[member].high - found[member].low for found in alone]
    assert (whole[cell].high - whole[cell].low > np.min(widths, axis=0) - 1e-3).all()


def test_controls_have_records_of_their_own(finished):
  workdir, _ = finished
  users = {record['user'] for record in records_of(workdir)}
  for control in CONTROLS:
    records = records_of(workdir / 'controls' / control)
    assert {record['user'] for record in records} == users
    assert {record['num_support'] for record in records} == {5}
    assert ({record.get('support_from') for record in records} == {'other'}) == (control == 'other')
    assert any(record.get('support') == 'one_sided' for record in records) == (control != 'other')


def test_only_arms_that_can_heed_it_are_told_of_one_sided_clips(finished):
  workdir, _ = finished
  arms = {record['arm'] for record in records_of(workdir / 'controls' / 'one_sided_told')}
  asked = (*SINGLE, *ENSEMBLES)
  assert arms == {a for a in asked if a in arms_lib.WITHOUT_CLIPS or arms_lib.is_bayesian(a)}


def test_told_of_one_sided_clips_arms_learn_no_label_mean(finished):
  workdir, _ = finished
  told, untold = (workdir / 'controls' / name for name in ('one_sided_told', 'one_sided'))

  def predictions(folder, arm):
    return np.array([float(row['prediction']) for row in rows_of(folder, arm)])

  for ensemble in ('', 'ensemble_'):
    calibrated = predictions(told, f'{ensemble}calibrated')
    np.testing.assert_allclose(predictions(told, f'{ensemble}label_mean'), calibrated, atol=1e-5)
    joint = predictions(told, f'{ensemble}joint')
    np.testing.assert_allclose(predictions(told, f'{ensemble}bayes_kd'), joint, atol=1e-5)
    assert np.abs(predictions(untold, f'{ensemble}label_mean') - calibrated).max() > 0.05


def test_another_persons_clips_are_no_clips_of_the_user(of_each_teacher):
  study, *_ = of_each_teacher
  speakers = np.array(study.corpus.speakers)
  for case in study.folds.cases:
    draws = study.draws(case, 'other')
    assert case.user.name not in speakers[draws.support]
    assert {*speakers[draws.support].ravel()} <= {user.name for user in case.fold.users}


def test_the_report_shows_controls_and_the_ensemble(finished):
  workdir, _ = finished
  text = (workdir / 'report.md').read_text()
  assert (
    '## Controls' in text and "| another person's | of one sign | of one sign, told so |" in text
  )
  assert 'Ensemble: Bayes and FS-UA-KD − Ensemble: Calibrated, no clips' in text
  assert 'averaging teachers, without a clip' in text


FLAGS = [
  *SMALLEST,
  '--config.study.protocol=grouped',
  '--config.study.num_groups=3',
  '--config.study.teachers=2',
  "--config.study.arms=('baseline','calibrated','fs_ua_kd','bayes_kd','ensemble',"
  "'ensemble_bayes_kd')",
  "--config.study.controls=('one_sided',)",
  '--config.pretrain.validation=speakers',
  '--config.pretrain.valid_speakers=0.3',
  '--config.data.num_speakers=24',
  '--config.data.clips_per_speaker=14',
]


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('uninterrupted')
  launch('study', *FLAGS, f'--workdir={workdir}')
  return workdir


@pytest.mark.parametrize(
  'marker',
  [
    'checkpoints/teachers/group_00_seed_0',
    'checkpoints/reading/group_01_seed_0_teacher_1/1*',
    'checkpoints/adapt/group_01_seed_0_teacher_1_user_*/1*',
    'controls/one_sided/records.jsonl',
  ],
)
def test_a_grouped_study_that_is_killed_ends_with_the_same_bytes(marker, uninterrupted, tmp_path):
  process = start('study', *FLAGS, f'--workdir={tmp_path}')
  wait_for(process, tmp_path, marker)
  process.kill()
  process.communicate()
  launch('study', *FLAGS, f'--workdir={tmp_path}')
  for folder in ('.', 'controls/one_sided'):
    for name in FILES:
      expected = (uninterrupted / folder / name).read_bytes()
      assert (tmp_path / folder / name).read_bytes() == expected
