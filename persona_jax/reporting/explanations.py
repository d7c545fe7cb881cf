"""Sentences that explain a report's numbers, beside tables and in the notes."""

from collections.abc import Collection

from persona_jax.arms import MEAN_SHIFT
from persona_jax.reporting.arm_comparison import LEVEL
from persona_jax.reporting.scores import Scores

_EASY = 'The mean shift is easier to beat than it should be'
CAVEAT = f'{_EASY} (see the notes).'
MEAN_SHIFT_NOTE = (
  f'{_EASY}: its shrinkage is estimated on validation clips of speakers whom the pre-trained model '
  'was trained on, which underestimates how much speakers differ.'
)
P_NOTE = (
  "p is two-sided, from flipping the signs of the speakers' mean differences in MAE (exact up to "
  '13 speakers).'
)


def holm_note(count: int) -> str:
  """What p (Holm) means where so many differences are tested."""
  differences = f'{count} differences' if count > 1 else 'one difference'
  return (
    f'p (Holm) is p adjusted for testing {differences} (Holm 1979): if every difference with '
    f'p (Holm) of at most {LEVEL} is called real, the chance of even one false claim is at most '
    f'{LEVEL:.0%}.'
  )


def caveat(scores: Scores, arms: Collection[str] | None = None) -> list[str]:
  """What must stand beside a table, list or figure in which the mean shift is compared.

  Args:
    arms: which are compared; by default all that have records.
  """
  arms = scores.arms if arms is None else arms
  return [CAVEAT] if scores.easy_mean_shift and MEAN_SHIFT in arms and len(arms) > 1 else []


def interval_note(scores: Scores) -> str:
  """What the intervals of a table are over."""
  counted = []
  for field, unit in (('user', 'users'), ('seed', 'seeds'), ('draw', 'draws')):
    count = len(scores.distinct(field))
    counted.append(f'{count} {unit if count != 1 else unit[:-1]}')
  return f'In brackets: 95% interval of the mean over {counted[0]}, {counted[1]} and {counted[2]}.'
