"""MAE by the number of support clips, and what each number gains on the baseline."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from persona_jax.arms import BASELINE, CALIBRATED, ENSEMBLE, NAMES, WITHOUT_CLIPS, calibrated_for
from persona_jax.evaluation import statistics
from persona_jax.evaluation.statistics import Interval
from persona_jax.reporting.arm_comparison import paired
from persona_jax.reporting.document import Beside, Figures, Part
from persona_jax.reporting.explanations import caveat, interval_note
from persona_jax.reporting.markdown import interval, listed, table
from persona_jax.reporting.scores import Scores, Values


class Curve(NamedTuple):
  """MAE of an arm, or its difference from another, {number of support clips: interval}."""

  arm: str
  points: dict[int, Interval]


def section(
  scores: Scores,
  values: Sequence[Curve],
  gained: Mapping[str, Sequence[Curve]],
  figures: Figures,
) -> list[Part]:
  """Nothing where all records are of one number of support clips.

  Args:
    scores: the records of every number of support clips.
    values: their `curves`.
    gained: their `gains`.
    figures: of the same curves.
  """
  shots = counts(values)
  if len(shots) < 2:
    return []
  header = [_clips(count) for count in shots]
  controls = _controls(scores) if CALIBRATED in scores.arms else {}
  controls = [_curve(arm, of_count) for arm, of_count in controls.items()]
  rows = [[NAMES[curve.arm], *_cells(curve, shots)] for curve in [*controls, *values]]
  text = [table(['arm', *header], rows)]
  for reference, curves_from in gained.items():
    rows = [
      [f'{NAMES[curve.arm]} − {NAMES[reference]}', *_cells(curve, shots, signed=True)]
      for curve in curves_from
    ]
    text.append(table(['paired difference', *header], rows))
  text += [interval_note(scores), *_fewer_users(scores), *caveat(scores)]
  return ['## MAE by the number of support clips', Beside('\n\n'.join(text), figures)]


def counts(values: Sequence[Curve]) -> list[int]:
  """The numbers of support clips of any curve, fewest first."""
  return sorted({count for curve in values for count in curve.points})


def curves(scores: Scores) -> Iterator[Curve]:
  """MAE of every arm that personalises on clips."""
  at = _by_count(scores)
  for arm in _with_clips(scores):
    yield _curve(
      arm, {count: at[count].values('mae', arm) for count in at if arm in at[count].arms}
    )


def gains(scores: Scores) -> dict[str, list[Curve]]:
  """{reference: the paired difference of arms from it}; none of one number of clips.

  References are the baseline, of every arm, and the calibrated baseline of an arm's teachers. The
  calibrated baseline's difference from the baseline is the first curve.
  """
  at = _by_count(scores)
  references = [arm for arm in WITHOUT_CLIPS if arm in scores.arms]
  if len(at) < 2:
    return {}
  return {
    reference: [
      _curve(
        arm,
        {count: paired(at[count], 'mae', arm, reference) for count in at if arm in at[count].arms},
      )
      for arm in (*references[place + 1 :], *_with_clips(scores))
      if reference == BASELINE or arm not in WITHOUT_CLIPS and calibrated_for(arm) == reference
    ]
    for place, reference in enumerate(references)
    if reference != ENSEMBLE
  }


def control_means(scores: Scores) -> dict[str, list[float]]:
  """{arm without clips: its MAE for each number of clips, over the users that have so many}."""
  return {
    arm: [float(statistics.mean_over_users(values.table)) for values in of_count.values()]
    for arm, of_count in _controls(scores).items()
  }


def _controls(scores: Scores) -> dict[str, dict[int, Values]]:
  """{arm without clips: {number of clips: its MAE, of the users that have so many}}."""
  at = _by_count(scores)
  return {
    arm: {count: chosen.values('mae', arm) for count, chosen in at.items()}
    for arm in WITHOUT_CLIPS
    if arm in scores.arms
  }


def _curve(arm: str, values: Mapping[int, Values]) -> Curve:
  intervals = statistics.bootstraps([each.table for each in values.values()])
  return Curve(arm, dict(zip(values, intervals, strict=True)))


def _with_clips(scores: Scores) -> list[str]:
  return [arm for arm in scores.arms if arm not in WITHOUT_CLIPS]


def _by_count(scores: Scores) -> dict[int, Scores]:
  """{number of clips: its records, and those without clips of the users that have so many}."""
  without = np.any([scores.is_arm(arm) for arm in WITHOUT_CLIPS], axis=0)
  users, found = scores.columns['user'], {}
  for (count,) in scores.rows(~without).distinct('num_support'):
    of_count = ~without & (scores.columns['num_support'] == count)
    found[count] = scores.rows(of_count | without & np.isin(users, users[of_count]))
  return found


def _fewer_users(scores: Scores) -> list[str]:
  """Who has so many clips, where not everybody has."""
  users = {count: len(chosen.users) for count, chosen in _by_count(scores).items()}
  if len(set(users.values())) == 1:
    return []
  told = [
    f'{number} user{"s" if number != 1 else ""} with {_clips(count)}'
    for count, number in users.items()
  ]
  return [f'Not every user has enough clips for every number: there are {listed(told)}.']


def _clips(count: int) -> str:
  return f'{count} clips' if count > 1 else '1 clip'


def _cells(curve: Curve, shots: Sequence[int], signed: bool = False) -> list[str]:
  return [
    interval(curve.points[count], signed) if count in curve.points else '–' for count in shots
  ]
