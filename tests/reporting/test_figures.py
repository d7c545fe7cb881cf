"""Figures show the records' numbers."""

import numpy as np
import pytest
from studies import USERS, of_mae, of_maes, scores, write

from persona_jax.reporting import explanations, figures, records, shots_curve
from persona_jax.reporting.scores import Scores


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  return write(tmp_path_factory.mktemp('run'), all_shots=(1, 5))


def shots(given):
  return figures.shots(given, list(shots_curve.curves(given)))


def test_speakers_and_curve_show_the_records_numbers(workdir):
  everything, lines = scores(workdir), list(records.read([workdir]))
  main = everything.only(5)

  def mae(arm, user):
    return np.mean(
      [r['mae'] for r in lines if (r['arm'], r['user'], r['num_support']) == (arm, user, 5)]
    )

  drawn = [figures.speakers(main), figures.draws(main), shots(everything)]
  (axes,) = drawn[0].figure.axes
  for line, arm in zip(axes.lines, ('baseline', 'fs_ua_kd'), strict=True):
    np.testing.assert_allclose(line.get_xdata(), [mae(arm, user) for user in USERS])
  ends = [[segment[:, 0] for segment in axes.collections[0].get_segments()]]
  np.testing.assert_allclose(
    np.squeeze(ends), [[mae('baseline', user), mae('fs_ua_kd', user)] for user in USERS]
  )
  (axes,) = drawn[2].figure.axes
  curve = axes.containers[0].lines[0].get_ydata()
  expected = [
    np.mean([r['mae'] for r in lines if (r['arm'], r['num_support']) == ('fs_ua', count)])
    for count in (1, 5)
  ]
  np.testing.assert_allclose(curve, expected)
  for figure, _ in drawn:
    assert figure.axes[0].get_xlabel() and figure.axes[0].get_ylabel()


def test_draws_are_means_over_speakers():
  given = Scores.of(
    of_mae(user, 'fs_ua', draw, mae + draw)
    for user, mae in (('a', 1), ('b', 2))
    for draw in (0, 1, 2)
  )
  (axes,) = figures.draws(given).figure.axes
  assert list(axes.lines[0].get_ydata()) == [1.5, 2.5, 3.5]
  assert axes.collections[0].get_segments()[0][0, 1] == 2.5  # the median


def test_nothing_is_drawn_without_what_it_compares():
  for given in (of_maes(baseline=[1, 2]), of_maes(fs_ua=[1, 2]), Scores.of([])):
    assert figures.speakers(given) is None and figures.scatter([], given, 5) is None
    assert shots(given) is None
  assert figures.draws(Scores.of([])) is None


def test_the_mean_shift_has_its_caveat(tmp_path):
  given = scores(write(tmp_path, ('baseline', 'mean_shift', 'fs_ua'), all_shots=(1, 5), draws=1))
  assert figures.draws(given.only(5)).caption.endswith(explanations.CAVEAT)
  assert shots(given).caption.endswith(explanations.CAVEAT)
  assert explanations.CAVEAT not in figures.speakers(given.only(5)).caption  # it shows FS-UA


def test_of_many_speakers_the_differences_are_drawn_sorted_and_the_harmed_marked():
  """21 speakers in another order: from .105 better to .095 worse, in steps of .01."""
  changes = [(8 * number) % 21 / 100 - 0.105 for number in range(21)]

  def picture(count):
    return figures.speakers(
      Scores.of(
        of_mae(f'u{number}', arm, 0, 1 + change)
        for number in range(count)
        for arm, change in (('baseline', 0), ('fs_ua', changes[number]))
      )
    )

  figure, caption = picture(21)
  (axes,) = figure.axes
  harmed, others = [line for line in axes.lines if len(line.get_xdata()) > 2]
  np.testing.assert_allclose(others.get_ydata(), np.arange(16) / 100 - 0.105, atol=1e-12)
  np.testing.assert_allclose(harmed.get_ydata(), np.arange(16, 21) / 100 - 0.105, atol=1e-12)
  assert [*others.get_xdata(), *harmed.get_xdata()] == list(range(1, 22))
  assert harmed.get_color() != others.get_color() and harmed.get_marker() != others.get_marker()
  assert (
    'FS-UA − Baseline' in caption and '5 of 21 speakers are harmed by more than 0.05' in caption
  )
  assert axes.get_xlabel() == '21 speakers, sorted' and axes.get_ylabel()
  assert [text.get_text() for text in figure.legends[0].texts] == [
    'harmed by more than 0.05',
    'other speakers',
  ]
  (axes,) = picture(20).figure.axes  # before and after, with names
  labels = [label.get_text() for label in axes.get_yticklabels()]
  assert labels == [f'u{number}' for number in range(20)]


def test_arms_without_clips_are_lines_of_the_curve():
  """Of two speakers, with MAE 1 and 3 without clips, the second has no 10 clips."""
  given = Scores.of(
    [
      *(of_mae(user, 'baseline', 0, mae) for user, mae in (('a', 1), ('b', 3))),
      *(of_mae(user, 'calibrated', 0, mae / 2) for user, mae in (('a', 1), ('b', 3))),
      *(of_mae(user, 'bayes', 0, 0.25, num_support=5) for user in 'ab'),
      of_mae('a', 'bayes', 0, 0.25, num_support=10),
    ]
  )
  (axes,) = shots(given).figure.axes
  baseline, calibrated = axes.lines[:2]
  assert list(baseline.get_ydata()) == [2, 1] and list(calibrated.get_ydata()) == [1, 0.5]
  assert len(axes.containers) == 1  # the one arm that uses clips
  (axes,) = shots(given.rows(given.columns['user'] == 0)).figure.axes
  assert list(axes.lines[0].get_ydata()) == [1, 1]
  assert axes.lines[0].get_transform() != axes.transData  # from end to end of the axes


def test_the_scatter_reads_no_further_than_it_must(workdir):
  rows = iter(list(records.read_predictions(workdir)))
  axes = figures.scatter(rows, scores(workdir).only(5), 5).figure.axes
  read = [
    row
    for row in records.read_predictions(workdir)
    if (row.trial.user, row.trial.draw, row.trial.num_support) == ('ann', 0, 5)
  ]
  for panel, arm in zip(axes, ('baseline', 'fs_ua_kd'), strict=True):
    expected = [[row.label, row.prediction] for row in read if row.trial.arm == arm]
    assert len(expected) == 9 and panel.lines[1].get_xydata().tolist() == expected
  after = next(rows)
  assert (after.trial.user, after.trial.arm, after.trial.draw) == ('ann', 'fs_ua_kd', 1)
