"""Figures of what clips gain, of where a gain comes from, and of predictive intervals."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from persona_jax.arms import BASELINE, NAMES, WITHOUT_CLIPS
from persona_jax.evaluation import statistics
from persona_jax.reporting import gain_sources, predictive_intervals
from persona_jax.reporting.drawing import COLOURS, Picture, legend, style, subplots
from persona_jax.reporting.explanations import caveat
from persona_jax.reporting.figures import draw_curves
from persona_jax.reporting.predictive_intervals import NOMINAL
from persona_jax.reporting.scores import Scores
from persona_jax.reporting.shots_curve import Curve, counts

_LABEL = 26  # characters of a line beside an axis, so that there is room for the axes


def gains(scores: Scores, gained: Mapping[str, Sequence[Curve]]) -> Picture | None:
  """The difference in MAE from the baseline by the number of support clips.

  Args:
    scores: the records of every number of support clips.
    gained: `shots_curve.gains` of them.
  """
  curves = [curve for curve in gained.get(BASELINE, ()) if curve.arm not in WITHOUT_CLIPS]
  ticks = counts(curves)
  if len(ticks) < 2:
    return None
  figure, axes = subplots(height=3.2, legend_of=len(curves) + 1)
  axes.axhline(0, **style(BASELINE) | dict(marker='none'))
  for control in gained[BASELINE]:
    if control.arm in WITHOUT_CLIPS:
      means = [control.points[count].mean for count in ticks]
      axes.plot(means, **style(control.arm) | dict(marker='none'))
  draw_curves(axes, curves, ticks)
  axes.set(xlabel='support clips', ylabel=f'difference in MAE\n({scores.target.points})')
  legend(figure)
  caption = (
    'Difference in MAE from the baseline by the number of support clips: means over speakers, with '
    '95% intervals over speakers, seeds and draws. Lower is better.'
  )
  return Picture(figure, ' '.join([caption, *caveat(scores)]))


def sources(scores: Scores) -> Picture | None:
  """What adds to the gain of the arm that stands for personalisation, step by step."""
  arm = next(iter(gain_sources.explained(scores.arms)), None)
  chain = gain_sources.steps(scores.arms, arm) if arm else []
  if not chain or arm is None:
    return None
  gained = gain_sources.gains(scores, chain)
  widths = np.array([gain.mean for gain in gained.values()])
  ends = np.cumsum(widths)
  rows = np.arange(len(chain) + 1)[::-1]
  labels = [textwrap.fill(step.source, _LABEL) for step in chain]
  num_lines = sum(label.count('\n') + 1 for label in labels)
  figure, axes = subplots(height=1.4 + 0.25 * len(rows) + 0.15 * num_lines)
  axes.axvline(0, color='0.6', linewidth=1)
  axes.barh(rows[:-1], widths, left=ends - widths, height=0.6, color=COLOURS[3], alpha=0.6)
  axes.barh(rows[-1:], ends[-1:], height=0.6, color=COLOURS[0], alpha=0.6)
  errors = np.array([[g.mean - g.low, g.high - g.mean] for g in gained.values()]).T
  axes.errorbar(ends, rows[:-1], xerr=errors, fmt='none', ecolor='black', capsize=2)
  axes.vlines(ends, rows[:-1] - 1, rows[:-1], color='0.6', linewidth=1, linestyle=':')
  axes.set_yticks(rows, [*labels, 'in all'])
  axes.set(xlabel=f'gain in MAE ({scores.target.points})')
  caption = (
    f'Where the gain of {NAMES[arm]} comes from: each bar begins where the one above it ends; with '
    '95% intervals of what each adds.'
  )
  return Picture(figure, ' '.join([caption, *caveat(scores, (BASELINE, arm))]))


def coverage(scores: Scores) -> Picture | None:
  """The share of each speaker's labels within their intervals, sorted for every arm."""
  found = predictive_intervals.coverage(scores)
  if not found:
    return None
  figure, axes = subplots(height=3.0, legend_of=len(found))
  axes.axhline(NOMINAL, color='0.6', linewidth=1)
  for arm, values in found.items():
    means = np.sort(statistics.user_means(values.table))  # NaN at the end
    axes.plot(
      np.arange(1, len(means) + 1), means, **style(arm), markersize=4, markevery=-(-len(means) // 9)
    )
  axes.set(xlabel='speakers, sorted for each arm', ylabel=f'coverage of {NOMINAL:.0%} intervals')
  legend(figure)
  return Picture(
    figure,
    f"Coverage of the {NOMINAL:.0%} intervals: the share of each speaker's labels within them, "
    f'mean over seeds and draws, sorted for each arm. The line is at {NOMINAL}.',
  )
