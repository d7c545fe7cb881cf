import csv
import json

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics
from studies import of_mae

from persona_jax.errors import UserError
from persona_jax.evaluation import statistics
from persona_jax.evaluation.metrics import METRICS
from persona_jax.reporting import arm_comparison, records, tables
from persona_jax.reporting.scores import Scores


def trial(user='ann', arm='baseline', draw=0, shift=0.0, count=9, shots=5, seed=0):
  random = np.random.default_rng(draw + len(user))
  labels = (np.round(random.uniform(-3, 3, count) * 5) / 5).astype(np.float32)
  predictions = (labels + random.normal(0, 1, count) + shift).astype(np.float32)
  return records.Trial(
    user, arm, seed, draw, shots, tuple(f'{user}[{i}]' for i in range(count)), labels, predictions
  )


TRIALS = [
  trial(user, arm, draw, shift)
  for user in ('ann', 'robert')
  for arm, shift in (('baseline', 1.0), ('fs_ua', 0.5))
  for draw in (0, 1)
]


def test_records_can_be_recomputed_from_the_predictions(tmp_path):
  records.write(tmp_path, TRIALS)
  with (tmp_path / 'predictions.csv').open() as file:
    rows = list(csv.DictReader(file))
  assert list(rows[0]) == ['user', 'arm', 'seed', 'draw', 'clip', 'label', 'prediction']
  read = list(records.read([tmp_path]))
  assert len(read) == 8
  for record in read:
    mine = [r for r in rows if all(r[k] == str(record[k]) for k in ('user', 'arm', 'seed', 'draw'))]
    labels, predictions = (np.array([float(r[k]) for r in mine]) for k in ('label', 'prediction'))
    assert record['num_query'] == len(mine) == 9
    assert record['mae'] == pytest.approx(abs(labels - predictions).mean(), abs=1e-9)
    assert record['corr'] == pytest.approx(stats.pearsonr(labels, predictions)[0], abs=1e-9)
    some = labels != 0
    assert record['f1_non0'] == pytest.approx(
      sklearn_metrics.f1_score(labels[some] > 0, predictions[some] > 0, average='weighted'),
      abs=1e-9,
    )


def test_labels_are_written_as_they_were_scored(tmp_path):
  records.write(tmp_path, [trial()])
  labels = {line.split(',')[5] for line in (tmp_path / 'predictions.csv').read_text().split()[1:]}
  assert all(len(label) <= 4 for label in labels)  # -2.4, not -2.4000000953674316


def test_undefined_is_null(tmp_path):
  constant = trial()
  constant = records.Trial(
    'ann', 'fs_ua', 0, 0, 5, constant.clips, constant.labels, np.zeros(9, np.float32)
  )
  records.write(tmp_path, [constant])
  assert json.loads((tmp_path / 'records.jsonl').read_text())['corr'] is None
  assert np.isnan(Scores.of(records.read([tmp_path])).values('corr', 'fs_ua').table).all()


def test_writing_leaves_no_other_file_behind(tmp_path):
  records.write(tmp_path, TRIALS)
  records.write(tmp_path, TRIALS)
  assert sorted(p.name for p in tmp_path.iterdir()) == ['predictions.csv', 'records.jsonl']


def test_several_shots_have_a_column_of_their_own(tmp_path):
  records.write(tmp_path, [trial(arm='fs_ua', shots=shots) for shots in (1, 5)])
  with (tmp_path / 'predictions.csv').open() as file:
    rows = list(csv.DictReader(file))
  assert list(rows[0])[-1] == 'num_support' and {row['num_support'] for row in rows} == {'1', '5'}
  assert [record['num_support'] for record in records.read([tmp_path])] == [1, 5]


def test_workdirs_merge_but_never_double(tmp_path):
  one, two = tmp_path / 'one', tmp_path / 'two'
  for folder, part in ((one, TRIALS[:4]), (two, TRIALS[4:])):
    folder.mkdir()
    records.write(folder, part)
  assert len(list(records.read([one, two]))) == 8
  with pytest.raises(UserError, match='user ann, arm baseline, seed 0, draw 0 is also in'):
    list(records.read([one, one]))


def test_broken_and_absent_records_are_named(tmp_path):
  with pytest.raises(UserError, match='records.jsonl: no such file; run launch.study'):
    list(records.read([tmp_path]))
  records.write(tmp_path, TRIALS[:1])
  with (tmp_path / 'records.jsonl').open('a') as file:
    file.write('{"user": "ann"\n')
  with pytest.raises(UserError, match='records.jsonl, line 2: not JSON'):
    list(records.read([tmp_path]))


CORPUS = dict(
  users={'ann': 12, 'robert': 10},
  num_speakers=4,
  num_clips=40,
  notes=['made up.'],
  oracle_mae={'ann': 0.2, 'robert': 0.2},
)


def test_report_has_the_three_tables_and_the_gain():
  lines = [t.record for t in TRIALS]
  report = tables.report(Scores.of(lines), CORPUS, ['a note.'], 5)
  mean = np.mean([line['mae'] for line in lines if line['arm'] == 'baseline'])
  assert f'| Baseline | {mean:.3f} [' in report
  assert '| 1: ann |' in report and '.95 / .68 / .33 / .74 / .76' in report
  assert '| FS-UA-KD, paper | .89 | .69 | .35 | .85 | .85 |' in report
  paired = arm_comparison.paired(Scores.of(lines), 'mae', 'fs_ua', 'baseline')
  difference = statistics.bootstrap(paired.table)
  assert f'| FS-UA − Baseline | {difference.mean:+.3f} [' in report
  assert 'Of that gap the arms won: FS-UA' in report
  assert '- a note.' in report and '- made up.' in report


def test_users_stand_beside_the_paper_by_their_rank_in_the_study():
  """Also where a job ran later folds alone, or a merge lists them in another order."""
  lines = [t.record for t in TRIALS]
  report = tables.report(
    Scores.of(line for line in lines if line['user'] == 'robert'), CORPUS, [], 5
  )
  (row,) = [
    line for line in report.splitlines() if line.startswith('| 2: robert') and '1.37' in line
  ]
  assert row.endswith('| 1.37 / .54 / .40 / .60 / .67 |')
  turned = tables.report(Scores.of(lines[::-1]), CORPUS, [], 5)
  assert turned.index('| 1: ann') < turned.index('| 2: robert')
  with pytest.raises(UserError, match='records of user robert, who is not in this study of'):
    tables.report(Scores.of(lines), CORPUS | {'users': {'ann': 12}}, [], 5)


def test_report_of_one_arm_says_what_is_missing():
  lines = [t.record for t in TRIALS if t.arm == 'baseline']
  report = tables.report(Scores.of(lines), CORPUS | {'oracle_mae': None}, [], 5)
  assert 'No records of the arm `fs_ua` yet.' in report
  assert 'No pair of arms to compare yet.' in report


def test_paper_means_are_those_of_its_rows():
  """Table 1 and 2's averages and Table 3 are the paper's own; they must fit its rows."""
  for rows, arm in ((tables.PAPER_TABLE_1, 'baseline'), (tables.PAPER_TABLE_2, 'fs_ua')):
    means = np.mean([[float(cell) for cell in row.split()] for row in rows], axis=0)
    stated = [float(cell) for cell in tables.PAPER_TABLE_3[arm].split()]
    np.testing.assert_allclose(means, stated, atol=0.0101)
  assert set(tables.COLUMNS) < set(METRICS)


def test_curve_has_every_number_of_shots_and_the_tables_one():
  lines = [
    trial(user, arm, draw, shift=1 / shots, shots=shots).record
    for user in ('ann', 'robert')
    for arm, all_shots in (('baseline', (5,)), ('fs_ua', (1, 5)))
    for draw in (0, 1)
    for shots in all_shots
  ]
  report = tables.report(Scores.of(lines), CORPUS, [], 5)
  few, many = (
    [line for line in lines if line['arm'] == 'fs_ua' and line['num_support'] == shots]
    for shots in (1, 5)
  )
  means = [np.mean([line['mae'] for line in some]) for some in (few, many)]
  assert '| arm | 1 clip | 5 clips |' in report
  (row,) = [
    line
    for line in report.splitlines()
    if line.startswith('| FS-UA | ') and f'| {means[0]:.3f} [' in line
  ]
  assert f'| {means[1]:.3f} [' in row
  only = tables.report(Scores.of(line for line in lines if line not in few), CORPUS, [], 5)
  assert '## MAE by' not in only
  assert report.startswith(only[: only.index('## Share')])  # the tables look at five clips alone


def differing(**shifts):
  """Records of four speakers in which an arm errs by its shift more or less than 1."""
  return Scores.of(
    of_mae(user, arm, draw, 1 + shift[number])
    for arm, shift in shifts.items()
    for number, user in enumerate('abcd')
    for draw in (0, 1)
  )


def test_comparison_counts_the_helped_and_the_harmed():
  lines = differing(
    baseline=[0, 0, 0, 0], mean_shift=[0, 0, 0, 0.05], fs_ua=[-0.4, -0.3, -0.2, 0.3]
  )
  _, table, _, caveat, verdict = arm_comparison.sections(lines, ['baseline', 'mean_shift', 'fs_ua'])
  rows = {line.split(' | ')[0]: line.split(' | ') for line in table.splitlines()}
  cells = rows['| FS-UA − Baseline']
  assert cells[1].startswith('-0.150 [') and cells[4:] == ['3 / 1', 'd +0.300', '25% |']
  # of the 16 sign patterns, those with a mean as far from 0: sums 6, 12, 10, 8 (x 0.1) and opposites
  assert float(cells[2]) == pytest.approx(8 / 16)
  assert rows['| Mean shift − Baseline'][6] == '0% |' and caveat == arm_comparison.MEAN_SHIFT_CAVEAT
  assert '| FS-UA − Mean shift' in rows and '| Mean shift − Baseline' in rows
  assert verdict.startswith('- FS-UA does not beat the mean shift')
  better = differing(mean_shift=[0, 0, 0, 0], fs_ua=[-0.4, -0.3, -0.2, -0.3])
  assert (
    '- FS-UA beats the mean shift' in arm_comparison.sections(better, ['mean_shift', 'fs_ua'])[-1]
  )
  assert arm_comparison.sections(lines, ['baseline']) == []


def test_p_values_are_adjusted_for_the_differences_of_the_table():
  """Ten speakers all helped: 2 of 1,024 sign patterns are as far from 0, three times."""
  lines = Scores.of(
    of_mae(user, arm, 0, mae)
    for user in 'abcdefghij'
    for arm, mae in (('baseline', 1.0), ('fs_ua', 0.5), ('fs_ua_kd', 0.25))
  )
  _, table, words = arm_comparison.sections(lines, lines.arms)
  header, _, *rows = [line.split(' | ') for line in table.splitlines()]
  assert header[2:4] == ['p', 'p (Holm)'] and len(rows) == 3
  assert all(row[2:4] == ['0.002', '0.006'] for row in rows)  # 2 / 1,024 and 6 / 1,024
  assert 'Holm 1979' in words
