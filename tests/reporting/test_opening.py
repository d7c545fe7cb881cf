"""The report's first sentence, by numbers made by hand."""

import pytest
from studies import of_mae, of_maes, sections, text, write

from persona_jax import files
from persona_jax.reporting import arm_comparison, opening
from persona_jax.reporting.scores import Scores


def answer(scores, num_users=None, num_support=5):
  comparisons = arm_comparison.compare(scores)
  return opening.answer(scores, comparisons, num_users or len(scores.users), num_support)


def test_an_interval_below_zero_is_an_answer():
  """All speakers gain 0.25, so every resampled mean does."""
  assert answer(of_maes(baseline=[1, 2, 3], fs_ua_kd=[0.75, 1.75, 2.75])) == (
    'Five clips (FS-UA-KD) lower the error (MAE) from 2.000 to 1.750 [difference -0.250, -0.250]; '
    '3 of 3 speakers gain.'
  )


def test_an_interval_above_zero_is_harm():
  assert answer(of_maes(baseline=[1, 2], fs_ua=[1.5, 2.5]), num_support=1) == (
    'One clip (FS-UA) raises the error (MAE) from 1.500 to 2.000 [difference +0.500, +0.500]; '
    '0 of 2 speakers gain.'
  )


def test_an_interval_around_zero_is_not_told_apart_from_chance():
  """Of two speakers the interval reaches from one difference to the other."""
  assert answer(of_maes(baseline=[1, 1], fs_ua_kd=[0.6, 1.2])) == (
    'With five clips (FS-UA-KD), the error (MAE) goes from 1.000 to 0.900 [difference -0.400, '
    '+0.200], a change that cannot be told apart from chance; 1 of 2 speakers gains.'
  )


def test_zero_is_what_is_printed_as_zero():
  assert 'told apart from chance' in answer(of_maes(baseline=[1, 1], fs_ua=[0.9996, 0.9]))
  assert 'clips (FS-UA) lower' in answer(of_maes(baseline=[1, 1], fs_ua=[0.9994, 0.9]))


def test_one_speaker_says_nothing_about_others():
  assert answer(of_maes(baseline=[1], fs_ua=[0.5]), num_support=12) == (
    '12 clips (FS-UA) lower the error (MAE) of one speaker from 1.000 to 0.500 '
    '[difference -0.500, -0.500]; one speaker says nothing about others.'
  )


def test_speakers_of_both_arms_are_compared():
  """A third has no personalised record yet, and its MAE of 9 is not in the means."""
  scores = of_maes(baseline=[1, 2, 9], fs_ua=[0.5, 1.5])
  assert answer(scores, num_users=4) == (
    'Five clips (FS-UA) lower the error (MAE) from 1.500 to 1.000 [difference -0.500, -0.500]; '
    '2 of 2 speakers gain. So far, this is 2 of the 4 speakers of the study.'
  )
  apart = Scores.of([of_mae('a', 'baseline', 0, 1), of_mae('b', 'fs_ua', 0, 1)])
  assert answer(apart) == 'No speaker has records of both the baseline and FS-UA yet.'


def test_one_arm_is_told_with_what_is_missing():
  assert answer(of_maes(baseline=[1.5, 1.5])) == (
    'The error (MAE) of Baseline is 1.500 [1.500, 1.500]; there are no records of a personalised '
    'arm to compare with.'
  )
  assert answer(of_maes(fs_ua=[1.5, 1.5])) == (
    'The error (MAE) of FS-UA is 1.500 [1.500, 1.500]; there are no records of the baseline to '
    'compare with.'
  )
  assert answer(Scores.of([])) == 'There are no records with five clips yet.'


@pytest.mark.parametrize(
  'arms, name',
  [
    (('baseline', 'mean_shift'), 'Mean shift'),
    (('baseline', 'mean_shift', 'fs_ua'), 'FS-UA'),
    (('baseline', 'fs_ua_kd', 'fs_base'), 'FS-UA-KD'),
  ],
)
def test_the_arm_is_the_one_that_stands_for_personalisation(arms, name):
  assert f'({name})' in answer(of_maes(**dict.fromkeys(arms, [1, 2])))


def test_the_study_says_who_and_what_is_missing(tmp_path):
  workdir = write(tmp_path, users=('bo',))
  config = files.read_json(workdir / files.CONFIG)
  config['study']['arms'] = ['baseline', 'fs_ua', 'fs_ua_kd', 'fs_base']
  files.write_json(workdir / files.CONFIG, config)
  first = next(iter(sections(text(workdir)).values()))
  assert (
    '1 held-out speakers of 9, 90 clips; 3 draws of 5 support clips per user. MAE is the mean '
    'absolute error, in points of sentiment from -3 to 3. No records yet of ann, cy, FS, base only.'
  ) in first


def test_many_speakers_and_a_bayesian_arm_read_well():
  """Of 91 speakers 66 gain .5 and 25 lose .1: (33 - 2.5) / 91 = .335 in the mean."""
  scores = Scores.of(
    of_mae(f'u{number}', arm, 0, mae)
    for number in range(91)
    for arm, mae in (('baseline', 1), ('calibrated', 1), ('bayes_kd', 0.5 if number < 66 else 1.1))
  )
  told = answer(scores)
  assert told.startswith(
    'Five clips (Bayes and FS-UA-KD) lower the error (MAE) from 1.000 to 0.665 [difference -0.'
  )
  assert told.endswith('; 66 of 91 speakers gain.')


@pytest.mark.parametrize('there, told', [(2, 'u2, u3, u4'), (1, '11 of the 12 speakers')])
def test_many_speakers_without_records_are_counted(there, told):
  everybody = [f'u{number}' for number in range(5 if there == 2 else 12)]
  scores = Scores.of(of_mae(user, 'baseline', 0, 1) for user in everybody[:there])
  size = opening.study_size(scores, dict(num_speakers=20, num_clips=90), [], everybody)
  assert size.endswith(f' No records yet of {told}.')
