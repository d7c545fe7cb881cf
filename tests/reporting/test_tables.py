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


def test_differences_from_the_calibrated_baseline_stand_below_in_the_same_form():
  text = table_3(of_maes(baseline=[1] * 10, calibrated=[0.75] * 10, bayes=[0.5] * 10))
  first, second = text.split('### Paired differences from ')[1:]
  assert first.startswith('the baseline\n') and second.startswith('the calibrated baseline\n')
  assert first.count('\n| ') == 4 and second.count('\n| ') == 3  # two of them are the header
  assert '| Bayes − Calibrated, no clips | -0.250 [-0.250, -0.250] | 0.002 | 0.006 | –' in second
  assert '(Holm) are of the difference in MAE' in second
  assert 'calibrated' not in table_3(of_maes(baseline=[1], bayes=[1]))


def test_other_metrics_are_differences_from_the_calibrated_baseline_too():
  acc7 = dict(baseline=0.25, calibrated=0.5, bayes=1.0)
  text = table_3(Scores.of(of_mae('a', arm, 0, 1, acc7=share) for arm, share in acc7.items()))
  assert '| Bayes − Baseline | +0.000 [+0.000, +0.000] | 1.000 | 1.000 | – ' in text
  first, second = [row for row in text.splitlines() if row.startswith('| Bayes − ')]
  assert first.split(' | ')[5].startswith('+0.750 [')
  assert second.split(' | ')[5].startswith('+0.500 [')


def test_a_grouped_study_has_one_table_per_user_of_the_baseline_and_the_headline_arm():
  given = Scores.of(
    [
      of_mae('b', 'baseline', 0, 1.5),
      of_mae('a', 'baseline', 0, 1.0),
      of_mae('b', 'fs_ua', 0, 9.0),
      of_mae('b', 'bayes', 0, 0.5, acc7=0.25),
    ]
  )
  assert tables.of_grouped(given, RANKS) == [
    '## Per user: Baseline / Bayes',
    Folded(
      '2 users and the mean',
      '| user | MAE | Corr | Acc7 | F1 | Acc2 | difference in MAE |\n'
      '| --- | --- | --- | --- | --- | --- | --- |\n'
      '| 2: b | 1.500 / 0.500 | – / – | – / 0.250 | – / – | – / – | -1.000 |\n'
      '| 1: a | 1.000 / – | – / – | – / – | – / – | – / – | – |\n'
      '| mean | 1.250 / 0.500 | – / – | – / 0.250 | – / – | – / – | -1.000 |',
    ),
  ]


def test_a_grouped_study_of_one_arm_has_a_table_of_it():
  heading, folded = tables.of_grouped(of_maes(baseline=[1]), RANKS)
  assert heading == '## Per user: Baseline' and folded.summary == '1 user and the mean'
  assert '| 1: a | 1.000 | – | – | – | – |\n| mean | 1.000 |' in folded.text
  assert 'difference' not in folded.text
  assert tables.of_grouped(Scores.of([]), RANKS) == []
