"""Arms compared in MAE: paired over speakers, with intervals and tests."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from persona_jax.arms import BASELINE, NAMES, WITHOUT_CLIPS, calibrated_for
from persona_jax.evaluation import statistics
from persona_jax.evaluation.statistics import Interval
from persona_jax.reporting.scores import Scores, Values

LEVEL = 0.05  # of p (Holm), up to which a difference is called real
HARM = 0.05  # MAE by which a speaker must be worse, in the mean, to be counted as harmed by so much


class Comparison(NamedTuple):
  """`arm` - `reference` in MAE, on the same query clips.

  Attributes:
    difference: of the users that have both.
    interval: of its mean over users.
    p, p_holm: of its mean over users; the second adjusted for all differences in the report.
  """

  arm: str
  reference: str
  difference: Values
  interval: Interval
  p: float
  p_holm: float

  @property
  def name(self) -> str:
    return f'{NAMES[self.arm]} − {NAMES[self.reference]}'

  @property
  def is_real(self) -> bool:
    return self.p_holm <= LEVEL

  @property
  def user_means(self) -> np.ndarray:
    """[U] per user, negative where the arm helped."""
    return statistics.user_means(self.difference.table)

  @property
  def num_harmed(self) -> int:
    """The users whose MAE is worse by more than `HARM`."""
    return int((self.user_means > HARM).sum())


def matched(scores: Scores, metric: str, arm: str, reference: str) -> tuple[Values, Values]:
  """A metric of both arms, of the users that have both; NaN in both where one is undefined."""
  ours, theirs = (scores.values(metric, which) for which in (arm, reference))
  places = {user: place for place, user in enumerate(theirs.users)}
  both = [place for place, user in enumerate(ours.users) if user in places]
  users = tuple(ours.users[place] for place in both)
  tables = np.stack([ours.table[both], theirs.table[[places[user] for user in users]]])
  tables[:, np.isnan(tables).any(axis=0)] = np.nan
  return Values(users, tables[0]), Values(users, tables[1])


def paired(scores: Scores, metric: str, arm: str, reference: str) -> Values:
  """`arm` - `reference` of the users that have both, on the same query clips."""
  ours, theirs = matched(scores, metric, arm, reference)
  return Values(ours.users, ours.table - theirs.table)


def compare(scores: Scores) -> list[Comparison]:
  """Every arm with the baseline, with the calibrated baseline, and with the arm before it.

  The calibrated baseline is that of the same teachers. All are tested as one family.
  """
  arms = scores.arms
  from_calibrated = [
    (arm, calibrated_for(arm))
    for arm in arms
    if arm not in WITHOUT_CLIPS and calibrated_for(arm) in arms
  ]
  pairs = [(arm, BASELINE) for arm in arms if arm != BASELINE and BASELINE in arms]
  pairs += from_calibrated
  pairs += [
    pair
    for pair in zip(arms[1:], arms[:-1], strict=True)
    if pair not in pairs and pair[::-1] not in from_calibrated
  ]
  differences = [paired(scores, 'mae', *pair) for pair in pairs]
  intervals = statistics.bootstraps([difference.table for difference in differences])
  return [
    Comparison(*pair, difference, mean, *p)
    for pair, difference, mean, p in zip(
      pairs, differences, intervals, p_values(differences), strict=True
    )
  ]


def p_values(differences: Sequence[Values]) -> list[tuple[float, float]]:
  """(p, p (Holm)) of each difference; all are one family."""
  p = np.array([statistics.sign_flip(statistics.user_means(each.table)) for each in differences])
  return list(zip(p.tolist(), statistics.holm(p).tolist(), strict=True))


def sign(difference: Interval) -> int:
  """-1 or 1 where the interval excludes 0, as it is printed; else 0."""
  return int(round(difference.low, 3) > 0) - int(round(difference.high, 3) < 0)
