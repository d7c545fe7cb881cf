"""Whether the arms' 90% intervals hold as many labels as they say."""

from collections.abc import Sequence

import numpy as np

from persona_jax.arms import NAMES
from persona_jax.evaluation import statistics
from persona_jax.evaluation.metrics import COVERAGE
from persona_jax.reporting.document import Beside, Figures, Part
from persona_jax.reporting.explanations import interval_note
from persona_jax.reporting.markdown import interval, table
from persona_jax.reporting.scores import Scores, Values

NOMINAL = 0.9  # the share of labels that an interval is made to hold
GOAL = (0.87, 0.93)  # of the mean over users
LOW = 0.8  # of one user


def section(scores: Scores, figures: Figures) -> list[Part]:
  """Nothing where no arm predicts intervals.

  Args:
    scores: the records.
    figures: of the same coverage.
  """
  found = coverage(scores)
  if not found:
    return []
  intervals = statistics.bootstraps([values.table for values in found.values()])
  means = [mean.mean for mean in intervals]
  rows = [
    [NAMES[arm], interval(mean), _below(values)]
    for (arm, values), mean in zip(found.items(), intervals, strict=True)
  ]
  text = [
    f'Coverage is the share of query labels within the {NOMINAL:.0%} interval that an arm predicts '
    f'for them, the mean over users. The goal is {GOAL[0]} to {GOAL[1]}. {_met(means)}',
    table(['arm', 'coverage', f'users with coverage under {LOW}'], rows),
    interval_note(scores),
  ]
  return ['## Predictive intervals', Beside('\n\n'.join(text), figures)]


def coverage(scores: Scores) -> dict[str, Values]:
  """{arm: its coverage}, of the arms that predict intervals."""
  found = {arm: scores.values(COVERAGE, arm) for arm in scores.arms}
  return {arm: values for arm, values in found.items() if not np.isnan(values.table).all()}


def _below(values: Values) -> str:
  """The share of users, and their number."""
  means = statistics.user_means(values.table)
  means = means[~np.isnan(means)]
  count = int((means < LOW).sum())
  return f'{count / len(means):.0%} ({count} of {len(means)})'


def _met(means: Sequence[float]) -> str:
  """How many arms meet the goal, by the mean as it is printed."""
  met = sum(GOAL[0] <= round(mean, 3) <= GOAL[1] for mean in means)
  if len(means) == 1:
    return 'The one arm meets it.' if met else 'The one arm does not meet it.'
  return f'{met} of {len(means)} arms {"meets" if met == 1 else "meet"} it.'
