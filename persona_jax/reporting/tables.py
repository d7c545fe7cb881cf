"""The paper's Tables 1 to 3 from the records, with the paper's own numbers beside ours."""

from collections.abc import Sequence

import numpy as np

from persona_jax.arms import BASELINE, NAMES
from persona_jax.errors import UserError
from persona_jax.evaluation import statistics
from persona_jax.reporting import arm_comparison
from persona_jax.reporting.markdown import interval, literal, number, table, visible
from persona_jax.reporting.scores import Scores

COLUMNS = {'mae': 'MAE', 'corr': 'Corr', 'acc7': 'Acc7', 'f1_non0': 'F1', 'acc2_non0': 'Acc2'}
PAPER_TABLE_1 = (
  '.95 .68 .33 .74 .76',
  '1.37 .54 .40 .60 .67',
  '1.01 .63 .33 .70 .71',
  '.96 .48 .40 .93 .93',
  '.68 .80 .53 .84 .83',
  '.91 .63 .27 .73 .73',
  '.67 .83 .40 .96 .96',
  '1.08 .65 .23 .76 .79',
  '.89 .78 .43 .84 .85',
  '.90 .81 .30 .81 .82',
)
PAPER_TABLE_2 = (
  '.73 .72 .50 .79 .80',
  '1.09 .63 .27 .80 .83',
  '1.80 .66 .07 .46 .39',
  '.82 .50 .37 .95 .90',
  '.91 .82 .30 .84 .83',
  '.77 .67 .33 .74 .73',
  '.71 .84 .50 .90 .89',
  '.93 .46 .27 .93 .86',
  '.76 .73 .37 .82 .81',
  '1.13 .73 .23 .85 .86',
)
PAPER_TABLE_3 = {
  'baseline': '.94 .68 .36 .79 .81',
  'fs_ua': '.97 .68 .32 .81 .79',
  'fs_ua_kd': '.89 .69 .35 .85 .85',
}


def report(scores: Scores, corpus: dict, notes: Sequence[str], num_support: int) -> str:
  """The whole report in Markdown.

  Args:
    scores: the records.
    corpus: `corpus.json` of the workdir.
    notes: further sentences for its end, in Markdown.
    num_support: the shots that the tables are of; the others make the curve.

  Raises:
    UserError: a record's user is none of the corpus's.
  """
  ranks = {user: rank for rank, user in enumerate(corpus['users'])}
  everything = _by_rank(scores, ranks)
  scores = everything.only(num_support)
  parts = ['# Leave-one-speaker-out study', _summary(scores, corpus)]
  for which, arm, paper in ((1, BASELINE, PAPER_TABLE_1), (2, 'fs_ua', PAPER_TABLE_2)):
    parts.append(f'## Table {which}. {NAMES[arm]}, per user')
    parts.append(
      _per_user(scores, arm, paper, ranks)
      if arm in scores.arms
      else f'No records of the arm `{arm}` yet.'
    )
  parts += [
    '## Table 3. Means over users',
    _means(scores),
    arm_comparison.over(scores),
    *arm_comparison.caveat(scores.arms),
    '## Paired differences from the baseline',
    *_differences(scores),
    *arm_comparison.sections(scores, scores.arms),
    *_curve(everything),
    *_won(scores, corpus),
  ]
  notes = [*_legend(), *notes, *map(literal, corpus['notes'])]
  return '\n\n'.join([*parts, '## Notes', '\n'.join(f'- {note}' for note in notes)]) + '\n'


def _by_rank(scores: Scores, ranks: dict[str, int]) -> Scores:
  """The records in the study's order of users, whatever jobs they come from."""
  strangers = [user for user in scores.users if user not in ranks]
  if strangers:
    listed = ', '.join([*map(visible, list(ranks)[:10]), *(['...'] if len(ranks) > 10 else [])])
    raise UserError(
      f'records of user {visible(strangers[0])}, who is not in this study '
      f'of {len(ranks)} users ({listed}); name workdirs of one study.'
    )
  return scores.by_rank(ranks)


def _summary(scores: Scores, corpus: dict) -> str:
  known, draws = set(scores.users), len(scores.distinct('seed', 'draw'))
  missing = [literal(user) for user in corpus['users'] if user not in known]
  return (
    f'{len(known)} held-out speakers of {corpus["num_speakers"]}, {corpus["num_clips"]} clips; '
    f'{draws} draws of {"/".join(map(str, scores.shots))} support clips a user.'
    + (f' No records yet of {", ".join(missing)}.' if missing else '')
  )


def _per_user(scores: Scores, arm: str, paper: tuple[str, ...], ranks: dict[str, int]) -> str:
  """A row a user, the paper's row of the same rank beside it."""
  values = [scores.values(metric, arm) for metric in COLUMNS]
  means = zip(*(statistics.user_means(each.table) for each in values))
  rows = []
  for user, cells in zip(values[0].users, means):
    place = ranks[user]
    beside = paper[place].split() if place < len(paper) else ['–'] * len(COLUMNS)
    rows.append([f'{place + 1}: {literal(user)}', *map(number, cells), ' / '.join(beside)])
  overall = [number(statistics.mean_over_users(each.table)) for each in values]
  rows.append(['mean', *overall, ' / '.join(PAPER_TABLE_3[arm].split())])
  return table(['user', *COLUMNS.values(), 'paper'], rows)


def _means(scores: Scores) -> str:
  intervals = statistics.bootstraps(
    [scores.values(metric, arm).table for arm in scores.arms for metric in COLUMNS]
  )
  cells = iter(map(interval, intervals))
  rows = [[NAMES[arm], *(next(cells) for _ in COLUMNS)] for arm in scores.arms]
  rows += [[f'{NAMES[arm]}, paper', *metrics.split()] for arm, metrics in PAPER_TABLE_3.items()]
  return table(['arm', *COLUMNS.values()], rows)


def _differences(scores: Scores) -> list[str]:
  others = [arm for arm in scores.arms if arm != BASELINE]
  if BASELINE not in scores.arms or not others:
    return ['No pair of arms to compare yet.']
  intervals = statistics.bootstraps(
    [
      arm_comparison.paired(scores, metric, arm, BASELINE).table
      for arm in others
      for metric in COLUMNS
    ]
  )
  cells = (interval(mean, signed=True) for mean in intervals)
  rows = [[f'{NAMES[arm]} − Baseline', *(next(cells) for _ in COLUMNS)] for arm in others]
  return [
    table(['difference', *COLUMNS.values()], rows),
    arm_comparison.over(scores),
    *arm_comparison.caveat(scores.arms),
  ]


def _curve(scores: Scores) -> list[str]:
  """MAE by the number of support clips, if there are several, and what it gains on the baseline."""
  baseline = scores.only(arm=BASELINE)
  personal = [scores.only(arm=arm) for arm in scores.arms if arm != BASELINE]
  shots = sorted({count for own in personal for count in own.shots})
  if len(shots) < 2:
    return []
  values, gains = [], []
  for own in personal:
    (arm,) = own.arms
    some = [own.only(count) for count in own.shots]
    values.append(
      [NAMES[arm], *_cells(shots, own.shots, [each.values('mae', arm).table for each in some])]
    )
    if len(baseline):
      gains.append(
        [
          f'{NAMES[arm]} − Baseline',
          *_cells(
            shots,
            own.shots,
            [
              arm_comparison.paired(_with_baseline(scores, arm, count), 'mae', arm, BASELINE).table
              for count in own.shots
            ],
            signed=True,
          ),
        ]
      )
  header = [f'{count} clips' if count > 1 else '1 clip' for count in shots]
  return [
    '## MAE by the number of support clips',
    table(['arm', *header], values),
    *([table(['paired difference', *header], gains)] if gains else []),
    arm_comparison.over(scores),
    *arm_comparison.caveat(scores.arms),
  ]


def _cells(
  shots: Sequence[int], own: Sequence[int], tables: Sequence[np.ndarray], signed: bool = False
) -> list[str]:
  """A cell for each of `shots`, from the tables of an arm's `own`."""
  cells = dict(zip(own, statistics.bootstraps(tables)))
  return [interval(cells[count], signed) if count in cells else '–' for count in shots]


def _with_baseline(scores: Scores, arm: str, count: int) -> Scores:
  """The records of an arm with so many clips, and the baseline's, which personalises on none."""
  is_arm, is_baseline = (scores.is_arm(which) for which in (arm, BASELINE))
  return scores.rows(is_baseline | is_arm & (scores.columns['num_support'] == count))


def _won(scores: Scores, corpus: dict) -> list[str]:
  """For a corpus with an oracle: which share of the possible gain each arm won."""
  oracle, arms = corpus.get('oracle_mae'), scores.arms
  if not oracle or BASELINE not in arms:
    return []
  bound = np.mean([oracle[user] for user in scores.values('mae', BASELINE).users])
  means = {arm: statistics.mean_over_users(scores.values('mae', arm).table) for arm in arms}
  baseline = means.pop(BASELINE)
  shares = [
    f'{NAMES[arm]} {(baseline - mean) / (baseline - bound):.0%}' for arm, mean in means.items()
  ]
  return [
    '## Share of the possible gain',
    f'A predictor that knows every persona has MAE {bound:.3f} on these users, the baseline '
    f'{baseline:.3f}. Of that gap the arms won: {", ".join(shares)}.',
    *arm_comparison.caveat(arms),
  ]


def _legend() -> list[str]:
  return [
    'Intervals are from a bootstrap over users, within each over seeds, and within each over draws.',
    'F1 and Acc2 leave out clips labelled 0 (non0); `records.jsonl` also has the has0 figures.',
    'The paper (CMU-MOSI, COVAREP, Facet, GloVe; one draw, 30 query clips a user, users unnamed) '
    'stands beside ours by rank only.',
  ]
