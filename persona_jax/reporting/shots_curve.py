"""MAE by the number of support clips, and what each number gains on the baseline."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from persona_jax.arms import BASELINE, NAMES
from persona_jax.evaluation import statistics
from persona_jax.evaluation.statistics import Interval
from persona_jax.reporting.arm_comparison import paired
from persona_jax.reporting.document import Beside, Figures, Part
from persona_jax.reporting.explanations import caveat, interval_note
from persona_jax.reporting.markdown import interval, table
from persona_jax.reporting.scores import Scores


class Curve(NamedTuple):
  """MAE of an arm, or its difference from the baseline, {number of support clips: interval}."""

  arm: str
  points: dict[int, Interval]


def section(scores: Scores, values: Sequence[Curve], figures: Figures) -> list[Part]:
  """Nothing where all records are of one number of support clips.

  Args:
    scores: the records of every number of support clips.
    values: their `curves`.
    figures: of the same curves.
  """
  shots = counts(values)
  if len(shots) < 2:
    return []
  header = [f'{count} clips' if count > 1 else '1 clip' for count in shots]
  rows = [[NAMES[curve.arm], *_cells(curve, shots)] for curve in values]
  gain_rows = [
    [f'{NAMES[curve.arm]} − {NAMES[BASELINE]}', *_cells(curve, shots, signed=True)]
    for curve in gains(scores)
  ]
  text = [
    table(['arm', *header], rows),
    *([table(['paired difference', *header], gain_rows)] if gain_rows else []),
    interval_note(scores),
    *caveat(scores.arms),
  ]
  return ['## MAE by the number of support clips', Beside('\n\n'.join(text), figures)]


def counts(values: Sequence[Curve]) -> list[int]:
  """The numbers of support clips of any curve, fewest first."""
  return sorted({count for curve in values for count in curve.points})


def curves(scores: Scores) -> Iterator[Curve]:
  """MAE of every arm but the baseline, which personalises on no clips."""
  return _of_every_arm(scores, lambda arm, count: scores.only(count, arm).values('mae', arm).table)


def gains(scores: Scores) -> Iterator[Curve]:
  """The paired difference of every arm from the baseline, if there is one."""
  if BASELINE not in scores.arms:
    return iter(())
  return _of_every_arm(
    scores,
    lambda arm, count: paired(_with_baseline(scores, arm, count), 'mae', arm, BASELINE).table,
  )


def _of_every_arm(scores: Scores, table_of: Callable[[str, int], np.ndarray]) -> Iterator[Curve]:
  for arm in scores.arms:
    if arm != BASELINE:
      shots = scores.only(arm=arm).shots
      intervals = statistics.bootstraps([table_of(arm, count) for count in shots])
      yield Curve(arm, dict(zip(shots, intervals, strict=True)))


def _with_baseline(scores: Scores, arm: str, count: int) -> Scores:
  """The records of an arm with so many clips, and the baseline's."""
  is_arm, is_baseline = (scores.is_arm(which) for which in (arm, BASELINE))
  return scores.rows(is_baseline | is_arm & (scores.columns['num_support'] == count))


def _cells(curve: Curve, shots: list[int], signed: bool = False) -> list[str]:
  return [
    interval(curve.points[count], signed) if count in curve.points else '–' for count in shots
  ]
