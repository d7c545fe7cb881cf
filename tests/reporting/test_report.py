"""The report's files: figures, the page, and runs compared."""

import re
import xml.etree.ElementTree

import numpy as np
import pytest

from persona_jax.errors import UserError
from persona_jax.reporting import figures, records, report, runs

USERS = ('ann', 'bo', 'cy')
ENVIRONMENT = dict(python='3.11', packages={'jax': '0.10'}, devices=['cpu', 'cpu'], commit=None,
                   config_hash='abc')


def write(workdir, arms=('baseline', 'fs_ua', 'fs_ua_kd'), all_shots=(5,), users=USERS, clips=9, gain=0.3):
  """A study's files, with numbers made up."""
  workdir.mkdir(exist_ok=True)
  trials = []
  for user in users:
    for arm in arms:
      for shots in (5,) if arm == 'baseline' else all_shots:
        for draw in range(3):
          random = np.random.default_rng([draw, len(user)])
          labels = random.uniform(-3, 3, clips).astype(np.float32)
          noise = random.normal(size=clips) * (1 - gain * arms.index(arm) * shots / 5)
          trials.append(records.Trial(user, arm, 0, draw, shots,
                                      tuple(f'{user}[{i}]' for i in range(clips)), labels,
                                      (labels + noise).astype(np.float32)))
  records.write(workdir, trials)
  records.write_curves(workdir, {(user, 0): np.array([[2, 1.5], [1, 1.25], [0.5, 1.4]])
                                 for user in users})
  records.write_json(workdir / records.CONFIG, dict(seed=0, study=dict(seeds=[], num_support=5)))
  records.write_json(workdir / records.ENVIRONMENT, ENVIRONMENT)
  records.write_json(workdir / records.CORPUS, dict(
      users={user: 14 for user in USERS}, num_speakers=9, num_clips=90, notes=[], oracle_mae=None))
  return workdir


def test_report_has_every_figure_and_is_one_page(tmp_path):
  workdir = write(tmp_path / 'run', all_shots=(1, 5))
  table = [[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]]
  records.write_json(workdir / records.ATTENTION, dict(
      user='ann', arm='fs_ua', clip='ann[3]', before={'audio': table, 'vision': table[:1]},
      after={'audio': table[::-1], 'vision': table[1:]}))
  text = report.write([workdir], workdir)
  names = {'speakers', 'draws', 'shots', 'scatter', 'attention', 'learning'}
  assert {path.name for path in (workdir / 'figures').iterdir()} == {f'{name}.svg' for name in names}
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
  text, lines = report.write([workdir], workdir), records.read([workdir])

  def mae(arm, shots):
    return np.mean([r['mae'] for r in lines if (r['arm'], r['num_support']) == (arm, shots)])

  section = text.split('## MAE by the number of support clips')[1]
  values, gains = [line for line in section.splitlines() if line.startswith('| FS-UA-KD')]
  assert [float(cell.split()[0]) for cell in values.split('|')[2:4]] == [
      round(mae('fs_ua_kd', shots), 3) for shots in (1, 5)]
  assert [float(cell.split()[0]) for cell in gains.split('|')[2:4]] == pytest.approx(
      [mae('fs_ua_kd', shots) - mae('baseline', 5) for shots in (1, 5)], abs=6e-4)


def test_figures_show_the_records_numbers(tmp_path):
  workdir = write(tmp_path / 'run', all_shots=(1, 5))
  lines = records.read([workdir])
  main = [line for line in lines if line['num_support'] == 5]

  def mae(arm, user):
    return np.mean([r['mae'] for r in main if (r['arm'], r['user']) == (arm, user)])

  axes, = figures.dumbbell(main).axes
  for line, arm in zip(axes.lines, ('baseline', 'fs_ua_kd')):
    np.testing.assert_allclose(line.get_xdata(), [mae(arm, user) for user in USERS])
  axes, = figures.shots(lines).axes
  curve = axes.containers[0].lines[0].get_ydata()
  expected = [np.mean([r['mae'] for r in lines if (r['arm'], r['num_support']) == ('fs_ua', shots)])
              for shots in (1, 5)]
  np.testing.assert_allclose(curve, expected)
  best = figures.learning(records.read_curves([workdir])).axes[0].lines[2]
  assert (best.get_xdata(), best.get_ydata()) == (2, 1.25)
  for figure in (figures.dumbbell(main), figures.draws(main), figures.shots(lines)):
    assert figure.axes[0].get_xlabel() and figure.axes[0].get_ylabel()
  markers = [figures._style(arm)['marker'] + figures._style(arm)['color'] for arm in figures.ARMS]
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
  assert 'No records of the arm `baseline` yet.' in text and 'No pair of arms to compare yet.' in text
  assert '- scatter: no personalised arm beside the baseline yet.' in text
  assert {path.stem for path in (workdir / 'figures').iterdir()} == {'draws', 'learning'}


def test_a_run_of_version_0_1_is_reported(tmp_path):
  workdir = write(tmp_path / 'run')
  records.write_json(workdir / records.CONFIG, dict(seed=0, study=dict(num_support=5)))
  old = {name: value for name, value in ENVIRONMENT.items() if name != 'config_hash'}
  records.write_json(workdir / records.ENVIRONMENT, old)
  (workdir / records.CURVES).unlink()
  text = report.write([workdir], workdir)
  assert 'Seeds 0; config unknown' in text and '- learning: no stage' in text


def test_runs_are_compared_pair_by_pair(tmp_path):
  one, two = write(tmp_path / 'one'), write(tmp_path / 'two', gain=0.4)
  assert runs.share_trials([one, two]) and not runs.share_trials([one])
  text = runs.compare([one, two])
  means = {}
  for name, workdir in (('one', one), ('two', two)):
    means[name] = np.mean([r['mae'] for r in records.read([workdir]) if r['arm'] == 'fs_ua'])
  assert f'## {two}\n' in text and '95 % interval of the mean over 3 users, 1 seed and 3 draws.' in text
  assert (f'| FS-UA | 5 | {means["one"]:.3f} | {means["two"]:.3f} | '
          f'{means["two"] - means["one"]:+.3f} [') in text
  three = write(tmp_path / 'three', arms=('fs_base',))
  assert text + f'\n## {three}\n\nIt has no trial of {one}.\n' == runs.compare([one, two, three])
  row, = [line for line in text.splitlines() if line.startswith('| Baseline')]
  assert '+0.000 [+0.000, +0.000] | 1.000 |' in row


def test_runs_with_other_query_clips_are_not_paired(tmp_path):
  one, two = write(tmp_path / 'one'), write(tmp_path / 'two', clips=8)
  with pytest.raises(UserError, match='user ann, arm baseline, seed 0, draw 0 was scored on 9 clips'):
    runs.compare([one, two])


def test_figures_are_well_formed(tmp_path):
  workdir = write(tmp_path / 'run')
  report.write([workdir], workdir)
  for path in (workdir / 'figures').iterdir():
    assert xml.etree.ElementTree.parse(path).getroot().tag.endswith('svg')
