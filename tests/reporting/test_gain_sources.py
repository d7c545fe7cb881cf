"""What an arm's gain is made of, by numbers made by hand."""

import pytest
from studies import of_maes

from persona_jax.reporting import explanations, gain_sources
from persona_jax.reporting.document import Figures
from persona_jax.reporting.gain_sources import Step

# MAE 1 falls by 1 / 8, then 1 / 4, 1 / 16 and 1 / 32; every speaker is alike.
MAES = dict(baseline=1.0, calibrated=0.875, label_mean=0.625, joint=0.5625, bayes=0.53125)


def section(**maes):
  return gain_sources.section(of_maes(**{arm: [mae] * 3 for arm, mae in maes.items()}), Figures({}))


def sentences(**maes):
  title, beside = section(**maes)
  assert title == '## Where the gain comes from'
  return [line for line in beside.text.split('\n\n')[1].splitlines()]


def rows(**maes):
  _, beside = section(**maes)
  return beside.text.split('\n\n')[2].splitlines()[2:]


def test_a_gain_is_taken_apart_in_words():
  assert sentences(**MAES) == [
    '- Of the gain of 0.469 (Bayes), 0.125 needs no clip of the user. '
    "The user's mean of labels adds 0.250, expression adds 0.062 and the rest of the arm adds "
    '0.031.',
    '- Of the gain of 0.375 (Label mean only), 0.125 needs no clip of the user. '
    "The user's mean of labels adds 0.250.",
    '- Of the gain of 0.438 (Joint Bayes), 0.125 needs no clip of the user. '
    "The user's mean of labels adds 0.250 and expression adds 0.062.",
  ]


def test_a_gain_is_taken_apart_in_a_table_with_intervals():
  assert rows(**MAES) == [
    '| calibration, without a clip | Baseline | Calibrated, no clips | +0.125 [+0.125, +0.125] |',
    "| the user's mean of labels | Calibrated, no clips | Label mean only | "
    '+0.250 [+0.250, +0.250] |',
    '| expression | Label mean only | Joint Bayes | +0.062 [+0.062, +0.062] |',
    '| the rest of the arm | Joint Bayes | Bayes | +0.031 [+0.031, +0.031] |',
  ]
  _, beside = section(**MAES)
  assert 'over 3 users, 1 seed and 1 draw' in beside.text


def test_intervals_are_over_speakers():
  """Of two speakers, calibration gains .5 for one and loses .25 for the other."""
  scores = of_maes(baseline=[1, 1], calibrated=[0.5, 1.25], bayes=[0.5, 0.5])
  _, beside = gain_sources.section(scores, Figures({}))
  assert '| Calibrated, no clips | +0.125 [-0.250, +0.500] |' in beside.text


def test_an_arm_that_is_missing_leaves_its_source_to_the_next():
  assert gain_sources.steps(['baseline', 'calibrated', 'joint', 'bayes'], 'bayes') == [
    Step('baseline', 'calibrated', ('calibration',)),
    Step('calibrated', 'joint', ("the user's mean of labels", 'expression')),
    Step('joint', 'bayes', ('the rest of the arm',)),
  ]
  (first, _) = sentences(baseline=1, calibrated=0.875, joint=0.625, bayes=0.5)
  assert first.endswith(
    "The user's mean of labels and expression add 0.250 and the rest of the arm adds 0.125."
  )
  (told,) = sentences(baseline=1, label_mean=0.5, fs_ua_kd=0.25)[:1]
  assert told == (
    "- The gain is 0.750 (FS-UA-KD). Calibration and the user's mean of labels add 0.500 and "
    'expression and the rest of the arm add 0.250.'
  )


def test_an_ensemble_gains_by_averaging_first():
  maes = dict(baseline=1, ensemble=0.875, ensemble_calibrated=0.75, ensemble_label_mean=0.5)
  assert sentences(**maes) == [
    '- Of the gain of 0.500 (Ensemble: Label mean only), 0.250 needs no clip of the user. '
    "The user's mean of labels adds 0.250."
  ]
  assert rows(**maes)[0].startswith('| averaging teachers, without a clip | Baseline | Ensemble')
  assert sentences(**maes | dict(ensemble=1.25, ensemble_calibrated=1)) == [
    '- Of the gain of 0.500 (Ensemble: Label mean only), nothing can be had without a clip of the '
    "user. Averaging teachers takes 0.250 away, calibration adds 0.250 and the user's mean of "
    'labels adds 0.500.'
  ]
  (told,) = sentences(**maes | dict(ensemble_label_mean=0.875))
  assert 'all can be had without a clip of the user: averaging teachers and calibration alone' in (
    told
  )
  # A fine-tuned ensemble does not go by way of what the Bayesian arms learn.
  assert gain_sources.explained(['baseline', 'ensemble', 'ensemble_fs_ua_kd', 'bayes']) == ['bayes']


def test_one_step_is_nothing_to_take_apart():
  for arms in (
    ('baseline', 'fs_ua', 'fs_ua_kd'),
    ('baseline', 'calibrated'),
    ('baseline', 'bayes'),
    ('calibrated', 'label_mean', 'joint', 'bayes'),
    (),
  ):
    assert section(**dict.fromkeys(arms, 1.0)) == []


@pytest.mark.parametrize(
  'calibrated, bayes, told',
  [
    (
      1.25,
      0.5,
      'Of the gain of 0.500 (Bayes), nothing can be had without a clip of the user. Calibration '
      "takes 0.250 away and the user's mean of labels, expression and the rest of the arm add "
      '0.750.',
    ),
    (
      0.25,
      0.5,
      'Of the gain of 0.500 (Bayes), all can be had without a clip of the user: calibration alone '
      "gains 0.750. The user's mean of labels, expression and the rest of the arm take 0.250 away.",
    ),
    (
      0.75,
      0.7499,
      'Of the gain of 0.250 (Bayes), all can be had without a clip of the user: calibration alone '
      "gains 0.250. The user's mean of labels, expression and the rest of the arm add nothing.",
    ),
    (0.75, 1.25, 'Bayes does not gain on the baseline (-0.250).'),
    (0.75, 0.9999, 'Bayes does not gain on the baseline (+0.000).'),
  ],
)
def test_losses_are_told_as_losses(calibrated, bayes, told):
  assert sentences(baseline=1, calibrated=calibrated, bayes=bayes) == [f'- {told}']


def test_the_headline_arm_is_first_and_every_bayesian_arm_follows():
  arms = ('baseline', 'fs_ua_kd', 'calibrated', 'residual', 'bayes', 'bayes_kd')
  assert gain_sources.explained(arms) == ['bayes_kd', 'residual', 'bayes']
  assert gain_sources.explained(('baseline', 'fs_ua', 'calibrated')) == ['fs_ua']
  assert gain_sources.explained(('baseline', 'calibrated')) == []


def test_the_mean_shift_has_its_caveat_only_where_it_is_taken_apart():
  *_, last = section(baseline=1, calibrated=0.5, mean_shift=0.25)[1].text.split('\n\n')
  assert last == explanations.CAVEAT
  assert explanations.CAVEAT not in section(**MAES, mean_shift=1)[1].text
