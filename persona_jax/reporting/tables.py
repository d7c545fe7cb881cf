"""The paper's Tables 1 to 3 from the records, with the paper's own numbers beside ours."""

import numpy as np

from persona_jax.arms import BASELINE, NAMES
from persona_jax.errors import UserError
from persona_jax.evaluation import statistics
from persona_jax.reporting import comparison
from persona_jax.reporting.comparison import matrix
from persona_jax.reporting.markdown import interval, number, table
from persona_jax.reporting.records import by_arm

COLUMNS = {'mae': 'MAE', 'corr': 'Corr', 'acc7': 'Acc7', 'f1_non0': 'F1', 'acc2_non0': 'Acc2'}
PAPER_TABLE_1 = (
    '.95 .68 .33 .74 .76', '1.37 .54 .40 .60 .67', '1.01 .63 .33 .70 .71', '.96 .48 .40 .93 .93',
    '.68 .80 .53 .84 .83', '.91 .63 .27 .73 .73', '.67 .83 .40 .96 .96', '1.08 .65 .23 .76 .79',
    '.89 .78 .43 .84 .85', '.90 .81 .30 .81 .82')
PAPER_TABLE_2 = (
    '.73 .72 .50 .79 .80', '1.09 .63 .27 .80 .83', '1.80 .66 .07 .46 .39', '.82 .50 .37 .95 .90',
    '.91 .82 .30 .84 .83', '.77 .67 .33 .74 .73', '.71 .84 .50 .90 .89', '.93 .46 .27 .93 .86',
    '.76 .73 .37 .82 .81', '1.13 .73 .23 .85 .86')
PAPER_TABLE_3 = {'baseline': '.94 .68 .36 .79 .81', 'fs_ua': '.97 .68 .32 .81 .79',
                 'fs_ua_kd': '.89 .69 .35 .85 .85'}


def report(records: list[dict], corpus: dict, notes: list[str], num_support: int) -> str:
  """The whole report in Markdown.

  Args:
    records: as `reporting.records.read` gives them.
    corpus: `corpus.json` of the workdir.
    notes: further sentences for its end.
    num_support: the shots that the tables are of; the others make the curve.

  Raises:
    UserError: a record's user is none of the corpus's.
  """
  everything = _by_rank(records, list(corpus['users']))
  records = [record for record in everything if record['num_support'] == num_support]
  arms = list(dict.fromkeys(record['arm'] for record in records))
  parts = ['# Leave-one-speaker-out study', _summary(records, corpus)]
  for which, arm, paper in ((1, BASELINE, PAPER_TABLE_1), (2, 'fs_ua', PAPER_TABLE_2)):
    parts.append(f'## Table {which}. {NAMES[arm]}, per user')
    parts.append(_per_user(records, arm, paper, list(corpus['users'])) if arm in arms
                 else f'No records of the arm `{arm}` yet.')
  parts += ['## Table 3. Means over users', _means(records, arms), comparison.over(records),
            '## Paired differences from the baseline', *_differences(records, arms),
            *comparison.sections(records, arms), *_curve(everything), *_won(records, corpus)]
  parts += ['## Notes', '\n'.join(f'- {note}' for note in [*_legend(), *notes, *corpus['notes']])]
  return '\n\n'.join(parts) + '\n'


def _by_rank(records: list[dict], users: list[str]) -> list[dict]:
  """The records in the study's order of users, whatever jobs they come from."""
  for record in records:
    if record['user'] not in users:
      raise UserError(f'records of user {record["user"]}, who is none of the study\'s '
                      f'({", ".join(users)}); name workdirs of one study.')
  return sorted(records, key=lambda record: users.index(record['user']))


def _summary(records: list[dict], corpus: dict) -> str:
  users = list(dict.fromkeys(record['user'] for record in records))
  draws = len({(record['seed'], record['draw']) for record in records})
  shots = sorted({record['num_support'] for record in records})
  missing = [user for user in corpus['users'] if user not in users]
  return (f'{len(users)} held-out speakers of {corpus["num_speakers"]}, {corpus["num_clips"]} clips; '
          f'{draws} draws of {"/".join(map(str, shots))} support clips a user.'
          + (f' No records yet of {", ".join(missing)}.' if missing else ''))


def _per_user(records: list[dict], arm: str, paper: tuple[str, ...], ranked: list[str]) -> str:
  """A row a user, the paper's row of the same rank beside it."""
  users = list(dict.fromkeys(record['user'] for record in records))
  values = {metric: by_arm(records, metric)[arm] for metric in COLUMNS}
  rows = []
  for user in users:
    place = ranked.index(user)
    cells = [number(statistics.user_means(values[m][user])) for m in COLUMNS]
    beside = paper[place].split() if place < len(paper) else ['–'] * len(COLUMNS)
    rows.append([f'{place + 1}: {user}', *cells, ' / '.join(beside)])
  means = [number(statistics.mean_over_users(matrix(values[m]))) for m in COLUMNS]
  paper_arm = PAPER_TABLE_3[arm].split()
  rows.append(['mean', *means, ' / '.join(paper_arm)])
  return table(['user', *COLUMNS.values(), 'paper'], rows)


def _means(records: list[dict], arms: list[str]) -> str:
  rows = []
  for arm in arms:
    cells = [interval(statistics.bootstrap(matrix(by_arm(records, metric)[arm])))
             for metric in COLUMNS]
    rows.append([NAMES[arm], *cells])
  rows += [[f'{NAMES[arm]}, paper', *figures.split()] for arm, figures in PAPER_TABLE_3.items()]
  return table(['arm', *COLUMNS.values()], rows)


def _differences(records: list[dict], arms: list[str]) -> list[str]:
  others = [arm for arm in arms if arm != BASELINE]
  if BASELINE not in arms or not others:
    return ['No pair of arms to compare yet.']
  rows = [[f'{NAMES[arm]} − Baseline',
           *(interval(statistics.bootstrap(comparison.paired(records, m, arm, BASELINE)), signed=True)
             for m in COLUMNS)]
          for arm in others]
  return [table(['difference', *COLUMNS.values()], rows), comparison.over(records)]


def _curve(records: list[dict]) -> list[str]:
  """MAE by the number of support clips, if there are several, and what it gains on the baseline."""
  shots = sorted({record['num_support'] for record in records if record['arm'] != BASELINE})
  if len(shots) < 2:
    return []
  baseline = [record for record in records if record['arm'] == BASELINE]
  values, gains = [], []
  for arm in dict.fromkeys(record['arm'] for record in records if record['arm'] != BASELINE):
    own = [[r for r in records if (r['arm'], r['num_support']) == (arm, count)] for count in shots]
    values.append([NAMES[arm], *(
        interval(statistics.bootstrap(matrix(by_arm(some, 'mae')[arm]))) if some else '–'
        for some in own)])
    gains.append([f'{NAMES[arm]} − Baseline', *(
        interval(statistics.bootstrap(comparison.paired(some + baseline, 'mae', arm, BASELINE)),
                 signed=True) if some else '–' for some in own)])
  header = [f'{count} clips' if count > 1 else '1 clip' for count in shots]
  return ['## MAE by the number of support clips', table(['arm', *header], values),
          *([table(['paired difference', *header], gains)] if baseline else []),
          comparison.over(records)]


def _won(records: list[dict], corpus: dict) -> list[str]:
  """For a corpus with an oracle: which share of the possible gain each arm won."""
  oracle, values = corpus.get('oracle_mae'), by_arm(records, 'mae')
  if not oracle or BASELINE not in values:
    return []
  bound = np.mean([oracle[user] for user in values[BASELINE]])
  means = {arm: statistics.mean_over_users(matrix(users)) for arm, users in values.items()}
  baseline = means.pop(BASELINE)
  shares = [f'{NAMES[arm]} {(baseline - mean) / (baseline - bound):.0%}' for arm, mean in means.items()]
  return ['## Share of the possible gain',
          f'A predictor that knows every persona has MAE {bound:.3f} on these users, the baseline '
          f'{baseline:.3f}. Of that gap the arms won: {", ".join(shares)}.']


def _legend() -> list[str]:
  return [
      'Intervals are from a bootstrap over users, within each over seeds, and within each over draws.',
      'F1 and Acc2 leave out clips labelled 0 (non0); `records.jsonl` also has the has0 figures.',
      'The paper (CMU-MOSI, COVAREP, Facet, GloVe; one draw, 30 query clips a user, users unnamed) '
      'stands beside ours by rank only.']
