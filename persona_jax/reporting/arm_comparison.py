"""What is real among the arms' differences: paired over speakers, tested, and who was harmed."""

from collections.abc import Collection

import numpy as np

from persona_jax.arms import BASELINE, MEAN_SHIFT, NAMES
from persona_jax.evaluation import statistics
from persona_jax.evaluation.statistics import Interval
from persona_jax.reporting.markdown import interval, literal, number, table
from persona_jax.reporting.scores import Scores, Values

HARM = 0.1  # MAE by which a draw must make a speaker worse to be counted
MEAN_SHIFT_CAVEAT = (
  'The mean shift is easier to beat than it should be: its shrinkage is estimated on validation '
  'clips of speakers whom the pre-trained model was trained on, which underestimates how much '
  'speakers differ.'
)
P_HOLM = (
  'p (Holm) is p adjusted for the number of differences in the table (Holm 1979): if every '
  'difference with p (Holm) of at most 0.05 is called real, the chance that any of them is not '
  'is at most 5 %.'
)


def caveat(arms: Collection[str]) -> list[str]:
  """What must stand beside a table, list or figure in which the mean shift is compared."""
  return [MEAN_SHIFT_CAVEAT] if MEAN_SHIFT in arms and len(arms) > 1 else []


def paired(scores: Scores, metric: str, arm: str, reference: str) -> Values:
  """`arm` - `reference` of the users that have both, on the same query clips."""
  ours, theirs = (scores.values(metric, which) for which in (arm, reference))
  places = {user: place for place, user in enumerate(theirs.users)}
  both = [place for place, user in enumerate(ours.users) if user in places]
  users = tuple(ours.users[place] for place in both)
  return Values(users, ours.table[both] - theirs.table[[places[user] for user in users]])


def over(scores: Scores) -> str:
  """What the intervals of a table are over."""
  counted = []
  for field, unit in (('user', 'users'), ('seed', 'seeds'), ('draw', 'draws')):
    count = len(scores.distinct(field))
    counted.append(f'{count} {unit if count != 1 else unit[:-1]}')
  return f'In brackets: 95 % interval of the mean over {counted[0]}, {counted[1]} and {counted[2]}.'


def sections(scores: Scores, arms: Collection[str]) -> list[str]:
  """The paired comparison in MAE, and whether the mean shift was beaten; nothing for one arm."""
  arms = list(arms)
  if len(arms) < 2:
    return []
  pairs = [(arm, BASELINE) for arm in arms if arm != BASELINE and BASELINE in arms]
  pairs += [pair for pair in zip(arms[1:], arms) if pair not in pairs]
  return [
    '## Which differences in MAE are real',
    table(
      [
        'difference',
        'MAE',
        'p',
        'p (Holm)',
        'speakers helped / harmed',
        'worst speaker',
        f'draws worse by > {HARM}',
      ],
      _rows(scores, pairs),
    ),
    f"{over(scores)} p is two-sided, from flipping the signs of the speakers' mean "
    f"differences (exact up to 13 speakers). {P_HOLM} Helped and harmed are by a speaker's mean "
    'over seeds and draws.',
    *caveat(arms),
    *_against_mean_shift(scores, arms),
  ]


def p_values(differences: list[Values]) -> list[tuple[str, str]]:
  """The cells 'p' and 'p (Holm)' of a table of these differences."""
  p = [statistics.sign_flip(statistics.user_means(difference.table)) for difference in differences]
  return [(number(plain), number(adjusted)) for plain, adjusted in zip(p, statistics.holm(p))]


def _rows(scores: Scores, pairs: list[tuple[str, str]]) -> list[list[str]]:
  differences = [paired(scores, 'mae', *pair) for pair in pairs]
  intervals = statistics.bootstraps([difference.table for difference in differences])
  return [
    [f'{NAMES[arm]} − {NAMES[reference]}', interval(mean, signed=True), *p, *_harm(difference)]
    for (arm, reference), difference, mean, p in zip(
      pairs, differences, intervals, p_values(differences)
    )
  ]


def _harm(difference: Values) -> list[str]:
  """How many speakers were helped and harmed, who most, and the share of draws that harmed."""
  means, defined = statistics.user_means(difference.table), ~np.isnan(difference.table)
  if not defined.any():
    return ['–'] * 3
  worst = int(np.nanargmax(means))
  return [
    f'{(means < 0).sum()} / {(means > 0).sum()}',
    f'{literal(difference.users[worst])} {number(means[worst], signed=True)}',
    f'{np.mean(difference.table[defined] > HARM):.0%}',
  ]


def _against_mean_shift(scores: Scores, arms: list[str]) -> list[str]:
  """One sentence per arm that had to beat it."""
  tried = [arm for arm in arms if MEAN_SHIFT in arms and arm not in (BASELINE, MEAN_SHIFT)]
  intervals = statistics.bootstraps([paired(scores, 'mae', arm, MEAN_SHIFT).table for arm in tried])
  sentences = [
    f'- {NAMES[arm]} {_verdict(difference)} (MAE {interval(difference, signed=True)}).'
    for arm, difference in zip(tried, intervals)
  ]
  return ['\n'.join(sentences)] if sentences else []


def _verdict(difference: Interval) -> str:
  if round(difference.high, 3) < 0:  # as it is printed
    return 'beats the mean shift'
  return (
    'does not beat the mean shift: it is not shown to have learned anything personal but an offset'
  )
