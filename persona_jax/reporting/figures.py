"""Figures of how the arms did, from a study's records alone."""

import itertools
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure

from persona_jax.arms import BASELINE, NAMES, headline_arm
from persona_jax.evaluation import statistics
from persona_jax.reporting.arm_comparison import HARM, matched
from persona_jax.reporting.drawing import (
  COLOURS,
  Picture,
  drawable,
  legend,
  mae_label,
  style,
  subplots,
)
from persona_jax.reporting.explanations import caveat
from persona_jax.reporting.records import Prediction
from persona_jax.reporting.scores import Scores
from persona_jax.reporting.shots_curve import Curve, control_means, counts
from persona_jax.targets import Target

MOST_LABELLED = 20  # speakers with a name each
_HARMED = dict(label=f'harmed by more than {HARM}', marker='^', color=COLOURS[2])
_OTHERS = dict(label='other speakers', marker='.', color=COLOURS[3])


def _captioned(figure: Figure, caption: str, scores: Scores, arms: Collection[str]) -> Picture:
  return Picture(figure, ' '.join([caption, *caveat(scores, arms)]))


def speakers(scores: Scores) -> Picture | None:
  """Every speaker's MAE, from the baseline to the personalised predictor; of many, by how much."""
  arm = headline_arm(scores.arms)
  if arm is None or BASELINE not in scores.arms:
    return None
  after, before = matched(scores, 'mae', arm, BASELINE)
  means = {
    which: statistics.user_means(values.table)
    for which, values in ((BASELINE, before), (arm, after))
  }
  if len(after.users) > MOST_LABELLED:
    figure, caption = _differences(means[arm] - means[BASELINE], arm, scores.target)
  else:
    figure, caption = _before_and_after(means, after.users, scores.target)
  return _captioned(figure, caption, scores, (BASELINE, arm))


def _before_and_after(
  means: dict[str, np.ndarray], users: Sequence[str], target: Target
) -> Picture:
  """The MAE [U] of both arms, a row per speaker."""
  figure, axes = subplots(height=1.2 + 0.3 * len(users))
  rows = np.arange(len(users))[::-1]
  axes.hlines(rows, *means.values(), color='0.6', linewidth=2, zorder=1)
  for which, points in means.items():
    axes.plot(points, rows, **style(which) | dict(linestyle='none'))
  axes.set_yticks(rows, [drawable(user) for user in users])
  axes.set(xlabel=mae_label(target), ylabel='speaker')
  legend(figure)
  return Picture(
    figure, "Each speaker's MAE before and after personalising, means over seeds and draws."
  )


def _differences(differences: np.ndarray, arm: str, target: Target) -> Picture:
  """The difference in MAE [U] of every speaker, sorted; who is harmed has another mark."""
  differences = np.sort(differences[~np.isnan(differences)])
  places, harmed = np.arange(1, len(differences) + 1), differences > HARM
  figure, axes = subplots()
  axes.axhline(0, color='0.6', linewidth=1)
  for which, marked in ((harmed, _HARMED), (~harmed, _OTHERS)):
    axes.vlines(places[which], 0, differences[which], color=marked['color'], linewidth=1)
    axes.plot(places[which], differences[which], linestyle='none', markersize=3, **marked)
  axes.set(
    xlabel=f'{len(differences)} speakers, sorted', ylabel=f'difference in MAE\n({target.points})'
  )
  legend(figure)
  return Picture(
    figure,
    f'Difference in MAE of every speaker, {NAMES[arm]} − {NAMES[BASELINE]}, means over seeds and '
    f'draws: {harmed.sum()} of {len(differences)} speakers are harmed by more than {HARM} '
    '(triangles).',
  )


def draws(scores: Scores) -> Picture | None:
  """How much the choice of support clips matters: a point per draw, the mean over speakers."""
  arms = scores.arms
  if not arms:
    return None
  figure, axes = subplots()
  for place, arm in enumerate(arms):
    mae = scores.values('mae', arm).table
    means = statistics.nanmean(np.moveaxis(mae, 0, -1)).ravel()  # over users
    spread = np.linspace(-0.2, 0.2, len(means)) if len(means) > 1 else np.zeros(1)
    axes.plot(place + spread, means, **style(arm) | dict(linestyle='none'), alpha=0.7)
    axes.hlines(np.nanmedian(means), place - 0.35, place + 0.35, color='black', linewidth=2)
  axes.set_xticks(range(len(arms)), [NAMES[arm] for arm in arms], rotation=30, ha='right')
  axes.set(ylabel=mae_label(scores.target), xlabel='arm (line: median over draws)')
  return _captioned(figure, 'MAE of each draw of support clips, mean over speakers.', scores, arms)


def shots(scores: Scores, curves: Sequence[Curve]) -> Picture | None:
  """MAE by the number of support clips, with 95% intervals.

  Args:
    scores: the records of every number of support clips.
    curves: `shots_curve.curves` of them.
  """
  ticks, arms = counts(curves), scores.arms
  if len(ticks) < 2:
    return None
  figure, axes = subplots(height=3.2, legend_of=len(arms))
  for arm, means in control_means(scores).items():
    line = style(arm) | dict(marker='none')
    if len(set(means)) == 1:
      axes.axhline(means[0], **line)
    else:  # not every user has so many clips
      axes.plot(means, **line)
  draw_curves(axes, curves, ticks)
  axes.set(xlabel='support clips', ylabel=mae_label(scores.target))
  legend(figure)
  return _captioned(
    figure,
    'MAE by the number of support clips: means over speakers, with 95% intervals over speakers, '
    'seeds and draws.',
    scores,
    arms,
  )


def draw_curves(axes, curves: Sequence[Curve], ticks: Sequence[int]) -> None:
  """Means with their intervals by the number of clips, arms beside each other."""
  for shift, curve in zip(np.linspace(-0.24, 0.24, len(curves)), curves, strict=True):
    points = curve.points.values()
    means = np.array([point.mean for point in points])
    ends = np.array([[p.mean - p.low for p in points], [p.high - p.mean for p in points]])
    places = np.array([ticks.index(count) for count in curve.points])
    axes.errorbar(places + shift, means, ends, capsize=2, **style(curve.arm))
  axes.set_xticks(range(len(ticks)), ticks)


def scatter(predictions: Iterable[Prediction], scores: Scores, num_support: int) -> Picture | None:
  """Predicted against true labels of the first speaker's first draw, before and after.

  Args:
    predictions: read only as far as they are needed.
    scores: the records of `num_support` clips.
    num_support: clips that the arms were personalised on.
  """
  predictions, arm = iter(predictions), headline_arm(scores.arms)
  if arm is None or BASELINE not in scores.arms or (first := next(predictions, None)) is None:
    return None
  wanted = [
    first.trial._replace(arm=which, draw=0, num_support=num_support) for which in (BASELINE, arm)
  ]
  points = {trial: [] for trial in wanted}
  missing = sum(scores.num_query(trial) for trial in wanted)
  for row in itertools.chain([first], predictions):
    if row.trial in points:
      points[row.trial].append((row.label, row.prediction))
      missing -= 1
      if not missing:
        break
  ends = [scores.target.low, scores.target.high]
  room = ends[0] - 0.3, ends[1] + 0.3
  figure, grid = subplots(height=2.6, columns=2)
  for axes, trial in zip(grid.flat, wanted, strict=True):
    labels, predicted = zip(*points[trial], strict=True) if points[trial] else ((), ())
    axes.plot(ends, ends, color='0.7', linewidth=1, zorder=0)
    axes.plot(labels, predicted, **style(trial.arm) | dict(linestyle='none'), markersize=4)
    axes.set(xlim=room, ylim=room, xlabel=f'true {scores.target.name}')
    axes.set_box_aspect(1)
    axes.set_title(f'{drawable(trial.user)}, {NAMES[trial.arm]}', fontsize=9)
  grid.flat[0].set_ylabel(f'predicted {scores.target.name}')
  caption = 'Query clips of one speaker, draw 0, before and after personalising.'
  return _captioned(figure, caption, scores, (BASELINE, arm))
