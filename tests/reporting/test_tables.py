import numpy as np
from studies import of_mae, of_maes, scores, write

from persona_jax.evaluation import statistics
from persona_jax.reporting import arm_comparison, explanations, records, tables
from persona_jax.reporting.document import Folded
from persona_jax.reporting.scores import Scores

RANKS = {'a': 0, 'b': 1}


def table_3(given):
  return '\n\n'.join(tables.table_3(given, arm_comparison.compare(given)))


def test_table_3_has_means_the_papers_rows_and_differences(tmp_path):
  workdir = write(tmp_path)
  given, lines = scores(workdir), list(records.read([workdir]))
  text = table_3(given)
  assert text.startswith('## Table 3. Means over users\n')
  for metric in ('mae', 'corr'):
    mean = np.mean([line[metric] for line in lines if line['arm'] == 'baseline'])
    assert f'| {mean:.3f} [' in text
  assert '| FS-UA-KD, paper | .89 | .69 | .35 | .85 | .85 |' in text
  rows = [row.split(' | ') for row in text.splitlines() if row.startswith('| FS-UA-KD − Baseline')]
  (cells,) = rows
  assert len(cells) == 8
  for place, metric in ((1, 'mae'), (4, 'corr'), (5, 'acc7')):
    paired = arm_comparison.paired(given, metric, 'fs_ua_kd', 'baseline')
    assert cells[place].startswith(f'{statistics.mean_over_users(paired.table):+.3f} [')
  assert '(Holm) are of the difference in MAE' in text


def test_p_values_of_differences_are_those_of_the_whole_family():
  """Ten speakers all helped by both arms, which differ too: 2 / 1,024, three times."""
  text = table_3(of_maes(baseline=[1] * 10, fs_ua=[0.5] * 10, fs_ua_kd=[0.25] * 10))
  assert '| FS-UA − Baseline | -0.500 [-0.500, -0.500] | 0.002 | 0.006 | – [–, –] (10 u' in text
  assert '| FS-UA-KD − Baseline | -0.750 [-0.750, -0.750] | 0.002 | 0.006 |' in text
  assert 'FS-UA-KD − FS-UA' not in text


def test_one_arm_has_nothing_to_compare():
  text = table_3(of_maes(baseline=[1, 2]))
  assert 'No arms to compare yet.' in text and 'p (Holm)' not in text
  assert explanations.CAVEAT in table_3(of_maes(baseline=[1], mean_shift=[1]))


def test_users_stand_beside_the_paper_by_their_rank_in_the_study():
  """Also where a job ran later folds only."""
  given = Scores.of([of_mae('b', 'baseline', 0, 1.5)])
  _, folded, _, missing = tables.per_user(given, RANKS)
  assert folded == Folded(
    '1 user and the mean',
    '| user | MAE | Corr | Acc7 | F1 | Acc2 | paper |\n'
    '| --- | --- | --- | --- | --- | --- | --- |\n'
    '| 2: b | 1.500 | – | – | – | – | 1.37 / .54 / .40 / .60 / .67 |\n'
    '| mean | 1.500 | – | – | – | – | .94 / .68 / .36 / .79 / .81 |',
  )
  assert missing == 'No records of the arm `fs_ua` yet.'


def test_users_beyond_the_papers_ten_have_no_row_of_it():
  given = Scores.of([of_mae('z', 'fs_ua', 0, 1.5)])
  *_, heading, folded = tables.per_user(given, {'z': 10})
  assert heading == '## Table 2. FS-UA, per user'
  assert '| 11: z | 1.500 | – | – | – | – | – / – / – / – / – |' in folded.text
