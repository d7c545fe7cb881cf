"""The paper's Tables 1 to 3 from the records, with the paper's own numbers beside ours."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from persona_jax.arms import BASELINE, CALIBRATED, ENSEMBLE_CALIBRATED, NAMES, headline_arm
from persona_jax.evaluation import statistics
from persona_jax.reporting import paper
from persona_jax.reporting.arm_comparison import Comparison, paired
from persona_jax.reporting.document import Folded, Part
from persona_jax.reporting.explanations import caveat, interval_note
from persona_jax.reporting.markdown import interval, literal, number, p_value, table
from persona_jax.reporting.scores import Scores, Values
from persona_jax.targets import Target

_P_POINTER = ' p and p (Holm) are of the difference in MAE; the notes explain them.'
COLUMNS = {'mae': 'MAE', 'corr': 'Corr', 'acc7': 'Acc7', 'f1_non0': 'F1', 'acc2_non0': 'Acc2'}
OF_EMOTIONS = {'mae': 'MAE', 'corr': 'Corr', 'wacc': 'WAcc', 'f1_present': 'F1'}


def columns(target: Target) -> dict[str, str]:
  """{metric: its column} of a target's tables."""
  return OF_EMOTIONS if target.is_emotion else COLUMNS


def table_3(scores: Scores, comparisons: Sequence[Comparison]) -> list[str]:
  """Means over users, the paper's beside them, and differences from what used no clip."""
  from_baseline, from_calibrated = (
    [each for each in comparisons if each.reference in references]
    for references in ((BASELINE,), (CALIBRATED, ENSEMBLE_CALIBRATED))
  )
  return [
    '## Table 3. Means over users',
    _means(scores),
    '### Paired differences from the baseline',
    _differences(scores, from_baseline) if from_baseline else 'No arms to compare yet.',
    *(
      ['### Paired differences from the calibrated baseline', _differences(scores, from_calibrated)]
      if from_calibrated
      else []
    ),
    interval_note(scores) + (_P_POINTER if from_baseline else ''),
    *caveat(scores),
  ]


def per_user(scores: Scores, ranks: Mapping[str, int]) -> list[Part]:
  """Tables 1 and 2: a row per user, the paper's row of the same rank beside it, folded.

  Args:
    scores: the records.
    ranks: {user: place in the study's order}.
  """
  parts = []
  for title, arm, rows in (
    ('Table 1', BASELINE, paper.TABLE_1),
    ('Table 2', 'fs_ua', paper.TABLE_2),
  ):
    parts.append(f'## {title}. {NAMES[arm]}, per user')
    if arm in scores.arms:
      users = len(scores.values('mae', arm).users)
      summary = f'{users} user{"s" if users > 1 else ""} and the mean'
      parts.append(Folded(summary, _per_user(scores, arm, rows, ranks)))
    else:
      parts.append(f'No records of the arm `{arm}` yet.')
  return parts


def of_grouped(scores: Scores, ranks: Mapping[str, int]) -> list[Part]:
  """A row per user of a grouped study: the baseline, and the arm that stands for the others."""
  arms = [arm for arm in (BASELINE, headline_arm(scores.arms)) if arm in scores.arms]
  if not arms:
    return []
  users = len(scores.users)
  return [
    f'## Per user: {" / ".join(NAMES[arm] for arm in arms)}',
    Folded(f'{users} user{"s" if users > 1 else ""} and the mean', _of_arms(scores, arms, ranks)),
  ]


def _of_arms(scores: Scores, arms: Sequence[str], ranks: Mapping[str, int]) -> str:
  """Each cell is of all arms, as 0.950 / 0.730; the last column is of two arms' difference."""
  shown = columns(scores.target)
  values = [[scores.values(metric, arm) for arm in arms] for metric in shown]
  by_user = [[_by_user(each) for each in of_metric] for of_metric in values]
  rows = [
    [
      f'{ranks[user] + 1}: {literal(user)}',
      *(' / '.join(number(each.get(user)) for each in cells) for cells in by_user),
    ]
    for user in scores.users
  ]
  rows.append(['mean', *(' / '.join(map(_mean, each)) for each in values)])
  header = ['user', *shown.values()]
  if len(arms) == 2:
    change = paired(scores, 'mae', arms[1], arms[0])
    changes = _by_user(change)
    header.append('difference in MAE')
    for row, user in zip(rows, scores.users, strict=False):
      row.append(number(changes.get(user), signed=True))
    rows[-1].append(number(float(statistics.mean_over_users(change.table)), signed=True))
  return table(header, rows)


def _by_user(values: Values) -> dict[str, float]:
  """{user: mean over seeds and draws}."""
  means = statistics.user_means(values.table)
  return dict(zip(values.users, means.tolist(), strict=True))


def _per_user(scores: Scores, arm: str, paper_rows: Sequence[str], ranks: Mapping[str, int]) -> str:
  shown, has_paper = columns(scores.target), not scores.target.is_emotion
  values = [scores.values(metric, arm) for metric in shown]
  means = zip(*(statistics.user_means(each.table) for each in values), strict=True)
  rows = []
  for user, cells in zip(values[0].users, means, strict=True):
    rank = ranks[user]
    beside = paper_rows[rank].split() if rank < len(paper_rows) else ['–'] * len(shown)
    rows.append([f'{rank + 1}: {literal(user)}', *map(number, cells), ' / '.join(beside)])
  rows.append(['mean', *map(_mean, values), ' / '.join(paper.TABLE_3[arm].split())])
  header = ['user', *shown.values(), 'paper']
  return table(header, rows) if has_paper else table(header[:-1], [row[:-1] for row in rows])


def _mean(values: Values) -> str:
  return number(float(statistics.mean_over_users(values.table)))


def _means(scores: Scores) -> str:
  shown = columns(scores.target)
  values = (scores.values(metric, arm) for arm in scores.arms for metric in shown)
  cells = _intervals(values)
  rows = [[NAMES[arm], *(next(cells) for _ in shown)] for arm in scores.arms]
  if not scores.target.is_emotion:
    rows += [[f'{NAMES[arm]}, paper', *metrics.split()] for arm, metrics in paper.TABLE_3.items()]
  return table(['arm', *shown.values()], rows)


def _differences(scores: Scores, compared: Sequence[Comparison]) -> str:
  shown = columns(scores.target)
  mae, *others = shown
  cells = _intervals(
    (paired(scores, metric, each.arm, each.reference) for each in compared for metric in others),
    signed=True,
  )
  rows = [
    [
      each.name,
      interval(each.interval, signed=True),
      p_value(each.p),
      p_value(each.p_holm),
      *(next(cells) for _ in others),
    ]
    for each in compared
  ]
  header = ['difference', shown[mae], 'p', 'p (Holm)', *(shown[metric] for metric in others)]
  return table(header, rows)


def _intervals(values: Iterable[Values], signed: bool = False) -> Iterator[str]:
  means = statistics.bootstraps([each.table for each in values])
  return (interval(mean, signed) for mean in means)
