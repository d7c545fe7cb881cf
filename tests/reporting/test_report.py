"""The report's files: figures and the page."""

import re
import xml.etree.ElementTree

import numpy as np
import pytest
from studies import ENVIRONMENT, USERS, of_mae, scores, write

from persona_jax import files
from persona_jax.reporting import drawing, figures, records, report
from persona_jax.reporting.scores import Scores


def test_report_has_every_figure_and_is_one_page(tmp_path):
  workdir = write(tmp_path / 'run', all_shots=(1, 5))
  table = [[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]]
  files.write_json(
    workdir / files.ATTENTION,
    dict(
      user='ann',
      arm='fs_ua',
      clip='ann[3]',
      before={'audio': table, 'vision': table[:1]},
      after={'audio': table[::-1], 'vision': table[1:]},
    ),
  )
  text = report.write([workdir], workdir)
  names = {'speakers', 'draws', 'shots', 'scatter', 'attention', 'learning'}
  assert {path.name for path in (workdir / 'figures').iterdir()} == {
    f'{name}.svg' for name in names
  }
  assert all(f'](figures/{name}.svg)' in text for name in names)
  page = (workdir / 'report.html').read_text()
  assert page.count('<svg') == page.count('<figcaption>') == len(names)
  assert page.count('<table>') == text.count('| --- |\n') >= 6
  assert not re.search(r'<script|<link|<img|src="|@import|url\((?!#)', page)  # no network
  identifiers = re.findall(r'\bid="([^"]+)"', page)
  assert len(identifiers) == len(set(identifiers))
  assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', page)) <= set(identifiers)
  assert 'width=device-width' in page


def test_curve_tables_show_the_records_numbers(tmp_path):
  workdir = write(tmp_path / 'run', all_shots=(1, 5))
  text, lines = report.write([workdir], workdir), list(records.read([workdir]))

  def mae(arm, shots):
    return np.mean([r['mae'] for r in lines if (r['arm'], r['num_support']) == (arm, shots)])

  section = text.split('## MAE by the number of support clips')[1]
  values, gains = [line for line in section.splitlines() if line.startswith('| FS-UA-KD')]
  assert [float(cell.split()[0]) for cell in values.split('|')[2:4]] == [
    round(mae('fs_ua_kd', shots), 3) for shots in (1, 5)
  ]
  assert [float(cell.split()[0]) for cell in gains.split('|')[2:4]] == pytest.approx(
    [mae('fs_ua_kd', shots) - mae('baseline', 5) for shots in (1, 5)], abs=6e-4
  )


def test_figures_show_the_records_numbers(tmp_path):
  workdir = write(tmp_path / 'run', all_shots=(1, 5))
  everything, lines = scores(workdir), list(records.read([workdir]))
  main = everything.only(5)

  def mae(arm, user):
    return np.mean(
      [r['mae'] for r in lines if (r['arm'], r['user'], r['num_support']) == (arm, user, 5)]
    )

  (axes,) = figures.dumbbell(main).figure.axes
  for line, arm in zip(axes.lines, ('baseline', 'fs_ua_kd')):
    np.testing.assert_allclose(line.get_xdata(), [mae(arm, user) for user in USERS])
  (axes,) = figures.shots(everything).figure.axes
  curve = axes.containers[0].lines[0].get_ydata()
  expected = [
    np.mean([r['mae'] for r in lines if (r['arm'], r['num_support']) == ('fs_ua', shots)])
    for shots in (1, 5)
  ]
  np.testing.assert_allclose(curve, expected)
  best = figures.learning(records.read_curves([workdir])).figure.axes[0].lines[2]
  assert (best.get_xdata(), best.get_ydata()) == (2, 1.25)
  for figure, _ in (figures.dumbbell(main), figures.draws(main), figures.shots(everything)):
    assert figure.axes[0].get_xlabel() and figure.axes[0].get_ylabel()
  markers = [drawing.style(arm)['marker'] + drawing.style(arm)['color'] for arm in drawing.ARMS]
  assert len(set(markers)) == len(markers)  # told apart without colour too
  assert len({marker[0] for marker in markers}) == len(markers)


def test_the_same_records_give_the_same_bytes(tmp_path):
  workdir = write(tmp_path / 'run')
  report.write([workdir], workdir)
  before = (workdir / 'report.html').read_bytes()
  report.write([workdir], workdir)
  assert (workdir / 'report.html').read_bytes() == before


def test_a_study_still_running_is_reported_with_what_is_missing(tmp_path):
  workdir = write(tmp_path / 'run', users=('bo',), arms=('baseline',))
  text = report.write([workdir], workdir)
  assert 'No records yet of ann, cy.' in text and 'No records of the arm `fs_ua` yet.' in text
  assert not (workdir / 'figures' / 'speakers.svg').exists()
  assert '- speakers: no personalised arm' in text and '- attention: made when a study' in text
  assert '- learning:' not in text
  assert (workdir / 'figures' / 'draws.svg').exists()


def test_one_arm_without_the_baseline(tmp_path):
  workdir = write(tmp_path / 'run', arms=('fs_ua',))
  text = report.write([workdir], workdir)
  assert (
    'No records of the arm `baseline` yet.' in text and 'No pair of arms to compare yet.' in text
  )
  assert '- scatter: no personalised arm beside the baseline yet.' in text
  assert {path.stem for path in (workdir / 'figures').iterdir()} == {'draws', 'learning'}


def test_a_run_of_version_0_1_is_reported(tmp_path):
  workdir = write(tmp_path / 'run')
  files.write_json(workdir / files.CONFIG, dict(seed=0, study=dict(num_support=5)))
  old = {name: value for name, value in ENVIRONMENT.items() if name != 'config_hash'}
  files.write_json(workdir / files.ENVIRONMENT, old)
  (workdir / files.CURVES).unlink()
  text = report.write([workdir], workdir)
  assert 'Seeds 0; config unknown' in text and '- learning: no stage' in text


def test_figures_are_well_formed(tmp_path):
  workdir = write(tmp_path / 'run')
  report.write([workdir], workdir)
  for path in (workdir / 'figures').iterdir():
    assert xml.etree.ElementTree.parse(path).getroot().tag.endswith('svg')


def test_many_folds_are_drawn_as_their_spread():
  """Of 21 folds whose losses are 0 to 20, plus the epoch."""
  curves = [
    dict(user=f'u{fold}', seed=0, epoch=epoch, train=fold + epoch, valid=fold - epoch)
    for fold in range(21)
    for epoch in (1, 2)
  ]
  figure, caption = figures.learning(curves)
  (axes,) = figure.axes
  train, valid = axes.lines
  assert [list(line.get_ydata()) for line in (train, valid)] == [[11, 12], [9, 8]]
  band = axes.collections[0].get_paths()[0].vertices
  assert {(x, y) for x, y in band.tolist()} == {(1, 3), (1, 19), (2, 4), (2, 20)}  # folds 2 and 18
  assert '21 folds' in caption
  assert len(figures.learning(curves[:40]).figure.axes) == 20


def test_many_speakers_are_sorted_and_have_no_names():
  """MAE 0 to 40 before, in another order, and 1 less after."""

  def picture(count):
    return figures.dumbbell(
      Scores.of(
        of_mae(f'u{number}', arm, 0, (7 * number) % count - gain)
        for number in range(count)
        for arm, gain in (('baseline', 0), ('fs_ua', 1))
      )
    )

  figure, caption = picture(41)
  (axes,) = figure.axes
  before, after = axes.lines
  assert list(before.get_xdata()) == list(range(41)) and list(after.get_xdata()) == list(
    range(-1, 40)
  )
  assert list(before.get_ydata()) == list(range(40, -1, -1))
  assert not axes.get_yticklabels() and axes.get_ylabel() == '41 speakers' and 'sorted' in caption
  (axes,) = picture(40).figure.axes
  labels = [label.get_text() for label in axes.get_yticklabels()]
  assert labels == [f'u{number}' for number in range(40)]


def test_the_scatter_reads_no_further_than_it_must(tmp_path):
  workdir = write(tmp_path / 'run', all_shots=(1, 5))
  everything, rows = scores(workdir), iter(list(records.read_predictions(workdir)))
  axes = figures.scatter(rows, everything.only(5), 5).figure.axes
  read = [
    row
    for row in records.read_predictions(workdir)
    if (row.trial.user, row.trial.draw, row.trial.num_support) == ('ann', 0, 5)
  ]
  for panel, arm in zip(axes, ('baseline', 'fs_ua_kd')):
    expected = [[row.label, row.prediction] for row in read if row.trial.arm == arm]
    assert len(expected) == 9 and panel.lines[1].get_xydata().tolist() == expected
  after = next(rows)
  assert (after.trial.user, after.trial.arm, after.trial.draw) == ('ann', 'fs_ua_kd', 1)
