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


def test_many_speakers_are_sorted_and_have_no_names():
  """MAE 0 to 40 before, in another order, and 1 less after."""

  def picture(count):
    return figures.speakers(
      Scores.of(
        of_mae(f'u{number}', arm, 0, (7 * number) % count - gain)
        for number in range(count)
        for arm, gain in (('baseline', 0), ('fs_ua', 1))
      )
    )

  figure, caption = picture(41)
  (axes,) = figure.axes
  before, after = axes.lines
  assert list(before.get_xdata()) == list(range(41))
  assert list(after.get_xdata()) == list(range(-1, 40))
  assert list(before.get_ydata()) == list(range(40, -1, -1))
  assert not axes.get_yticklabels() and axes.get_ylabel() == '41 speakers' and 'sorted' in caption
  (axes,) = picture(40).figure.axes
  labels = [label.get_text() for label in axes.get_yticklabels()]
  assert labels == [f'u{number}' for number in range(40)]


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
