"""Figures of gains and of intervals show the records' numbers."""

import numpy as np
from matplotlib.container import ErrorbarContainer
from studies import of_mae, of_maes

from persona_jax.reporting import persona_figures, shots_curve
from persona_jax.reporting.scores import Scores


def of_shots(**maes):
  """{arm: {number of clips: MAE}}, of two speakers that are alike."""
  return Scores.of(
    of_mae(user, arm, 0, mae, num_support=count)
    for arm, points in maes.items()
    for count, mae in points.items()
    for user in 'ab'
  )


def gains(scores):
  return persona_figures.gains(scores, shots_curve.gains(scores))


def test_gains_are_differences_from_the_baseline_by_the_number_of_clips():
  scores = of_shots(
    baseline={5: 1.0}, calibrated={5: 0.75}, bayes={1: 0.875, 5: 0.5}, joint={5: 0.625}
  )
  figure, caption = gains(scores)
  (axes,) = figure.axes
  baseline, calibrated = axes.lines[:2]
  assert list(baseline.get_ydata()) == [0, 0] and list(calibrated.get_ydata()) == [-0.25, -0.25]
  bayes, joint = (container.lines[0] for container in axes.containers)
  assert list(bayes.get_ydata()) == [-0.125, -0.5]
  assert list(joint.get_ydata()) == [-0.375] and round(joint.get_xdata()[0]) == 1
  assert [label.get_text() for label in axes.get_xticklabels()] == ['1', '5']
  assert axes.get_ylabel().startswith('difference in MAE') and 'Lower is better' in caption


def test_gains_have_their_intervals():
  """Of two speakers one gains 1 and the other .5; the interval is from one to the other."""
  scores = Scores.of(
    of_mae(user, arm, 0, mae, num_support=count)
    for user, gain in (('a', 1.0), ('b', 0.5))
    for arm, count, mae in (('baseline', 5, 2), ('bayes', 1, 2 - gain), ('bayes', 5, 2 - gain))
  )
  (container,) = gains(scores).figure.axes[0].containers
  (bars,) = container.lines[2]
  for segment in bars.get_segments():
    np.testing.assert_allclose(segment[:, 1], [-1, -0.5])


def test_no_gains_by_clips_without_several_numbers_or_a_baseline():
  assert gains(of_shots(baseline={5: 1.0}, bayes={5: 1.0})) is None
  assert gains(of_shots(bayes={1: 1.0, 5: 1.0})) is None
  assert gains(Scores.of([])) is None


def test_the_sources_of_a_gain_are_bars_that_begin_where_the_last_one_ends():
  scores = of_maes(
    baseline=[1, 1], calibrated=[0.75, 0.75], label_mean=[0.5, 0.5], joint=[0.625, 0.625]
  )
  figure, caption = persona_figures.sources(scores)
  (axes,) = figure.axes
  bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
  assert bars == [(0, 0.25), (0.25, 0.5), (0.5, 0.375), (0, 0.375)]
  labels = [label.get_text() for label in axes.get_yticklabels()]
  assert labels == ['calibration', "the user's mean of labels", 'expression', 'in all']
  assert [bar.get_y() + bar.get_height() / 2 for bar in axes.patches] == [3, 2, 1, 0]
  assert 'Joint Bayes' in caption and axes.get_xlabel()


def test_bars_have_the_intervals_of_their_own_step():
  """Calibration gains .5 for one speaker, and takes .25 from the other: .125 in the mean."""
  scores = of_maes(baseline=[1, 1], calibrated=[0.5, 1.25], bayes=[0.5, 0.5])
  (axes,) = persona_figures.sources(scores).figure.axes
  (container,) = [each for each in axes.containers if isinstance(each, ErrorbarContainer)]
  calibration, clips = container.lines[2][0].get_segments()
  np.testing.assert_allclose(calibration[:, 0], [-0.25, 0.5])
  np.testing.assert_allclose(clips[:, 0], [0.125, 0.875])  # a gain of 0 and of .75, from .125 on


def test_no_sources_of_what_cannot_be_taken_apart():
  assert persona_figures.sources(of_maes(baseline=[1], fs_ua=[1])) is None
  assert persona_figures.sources(of_maes(baseline=[1], calibrated=[1])) is None
  assert persona_figures.sources(Scores.of([])) is None


def test_coverage_is_sorted_for_each_arm_with_the_nominal_line():
  scores = Scores.of(
    of_mae(user, arm, 0, 1, coverage=share)
    for arm, shares in (('joint', (0.9, 0.5, 0.7)), ('bayes', (0.8, 1.0, 0.6)))
    for user, share in zip('abc', shares, strict=True)
  )
  figure, caption = persona_figures.coverage(scores)
  (axes,) = figure.axes
  nominal, joint, bayes = axes.lines
  assert list(nominal.get_ydata()) == [0.9, 0.9] and 'The line is at 0.9.' in caption
  assert list(joint.get_ydata()) == [0.5, 0.7, 0.9] and list(bayes.get_ydata()) == [0.6, 0.8, 1]
  assert list(joint.get_xdata()) == [1, 2, 3]
  assert persona_figures.coverage(of_maes(baseline=[1], fs_ua=[1])) is None
