"""What is real among the arms' differences: paired over speakers, tested, and who was harmed."""

import numpy as np

from persona_jax.arms import BASELINE, MEAN_SHIFT, NAMES
from persona_jax.evaluation import statistics
from persona_jax.reporting.markdown import interval, number, table
from persona_jax.reporting.records import by_arm

HARM = 0.1  # MAE by which a draw must make a speaker worse to be counted


def matrix(users: dict[str, np.ndarray]) -> np.ndarray:
  """{user: [S, R]} as [U, S, R]."""
  return np.stack(list(users.values()))


def paired(records: list[dict], metric: str, arm: str, reference: str) -> np.ndarray:
  """[U, S, R] `arm` - `reference` of the users that have both, on the same query clips."""
  values = by_arm(records, metric)
  both = [user for user in values[arm] if user in values[reference]]
  return np.stack([values[arm][user] - values[reference][user] for user in both])


def over(records: list[dict]) -> str:
  """What the intervals of a table are over."""
  counted = []
  for field, unit in (('user', 'users'), ('seed', 'seeds'), ('draw', 'draws')):
    count = len({record[field] for record in records})
    counted.append(f'{count} {unit if count > 1 else unit[:-1]}')
  return f'In brackets: 95 % interval of the mean over {counted[0]}, {counted[1]} and {counted[2]}.'


def sections(records: list[dict], arms: list[str]) -> list[str]:
  """The paired comparison in MAE, and whether the mean shift was beaten; nothing for one arm."""
  if len(arms) < 2:
    return []
  pairs = [(arm, BASELINE) for arm in arms if arm != BASELINE and BASELINE in arms]
  pairs += [pair for pair in zip(arms[1:], arms) if pair not in pairs]
  rows = [_row(records, arm, reference) for arm, reference in pairs]
  return ['## Which differences in MAE are real',
          table(['difference', 'MAE', 'p', 'speakers helped / harmed', 'worst speaker',
                 f'draws worse by > {HARM}'], rows),
          f'{over(records)} p is two-sided, from flipping the signs of the speakers\' mean differences '
          '(exact up to 13 speakers); helped and harmed are by a speaker\'s mean over seeds and draws.',
          *_against_mean_shift(records, arms)]


def _row(records: list[dict], arm: str, reference: str) -> list[str]:
  differences = paired(records, 'mae', arm, reference)
  users = [user for user in by_arm(records, 'mae')[arm] if user in by_arm(records, 'mae')[reference]]
  means = statistics.user_means(differences)
  worst = int(np.nanargmax(means))
  share = np.mean(differences[~np.isnan(differences)] > HARM)
  return [f'{NAMES[arm]} − {NAMES[reference]}',
          interval(statistics.bootstrap(differences), signed=True),
          number(statistics.sign_flip(means)), f'{(means < 0).sum()} / {(means > 0).sum()}',
          f'{users[worst]} {number(means[worst], signed=True)}', f'{share:.0%}']


def _against_mean_shift(records: list[dict], arms: list[str]) -> list[str]:
  """One sentence an arm that had to beat it."""
  sentences = []
  for arm in arms:
    if MEAN_SHIFT in arms and arm not in (BASELINE, MEAN_SHIFT):
      difference = statistics.bootstrap(paired(records, 'mae', arm, MEAN_SHIFT))
      verdict = ('beats the mean shift' if round(difference.high, 3) < 0 else  # as it is printed
                 'does not beat the mean shift: it is not shown to have learned anything personal but '
                 'an offset')
      sentences.append(f'- {NAMES[arm]} {verdict} (MAE {interval(difference, signed=True)}).')
  return ['\n'.join(sentences)] if sentences else []
