"""Figures of how the arms did, from a study's records alone."""

import itertools
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure

from persona_jax.arms import BASELINE, NAMES, headline_arm
from persona_jax.evaluation import statistics
from persona_jax.reporting.arm_comparison import matched
from persona_jax.reporting.drawing import MAE, Picture, drawable, legend, style, subplots
from persona_jax.reporting.explanations import caveat
from persona_jax.reporting.records import Prediction
from persona_jax.reporting.scores import Scores
from persona_jax.reporting.shots_curve import Curve, counts

MOST_LABELLED = 40  # speakers with a name each


def _captioned(figure: Figure, caption: str, arms: Collection[str]) -> Picture:
  return Picture(figure, ' '.join([caption, *caveat(arms)]))


def speakers(scores: Scores) -> Picture | None:
  """Every speaker's MAE, from the baseline to the personalised predictor."""
  arm = headline_arm(scores.arms)
  if arm is None or BASELINE not in scores.arms:
    return None
  after, before = matched(scores, 'mae', arm, BASELINE)
  users, order = after.users, np.arange(len(after.users))
  means = {
    which: statistics.user_means(values.table)
    for which, values in ((BASELINE, before), (arm, after))
  }
  caption = "Each speaker's MAE before and after personalising, means over seeds and draws."
  few = len(users) <= MOST_LABELLED
  if not few:
    order = np.argsort(means[BASELINE], kind='stable')
    caption += ' Speakers are sorted by their MAE before.'
  figure, axes = subplots(height=1.2 + 0.3 * len(users) if few else 7)
  rows = np.arange(len(users))[::-1]
  ends = (means[which][order] for which in (BASELINE, arm))
  axes.hlines(rows, *ends, color='0.6', linewidth=2 if few else 0.5, zorder=1)
  size = {} if few else dict(markersize=2)
  for which, points in means.items():
    axes.plot(points[order], rows, **style(which) | dict(linestyle='none') | size)
  axes.set_yticks(rows if few else [], [drawable(user) for user in users] if few else [])
  axes.set(xlabel=MAE, ylabel='speaker' if few else f'{len(users)} speakers')
  legend(figure)
  return _captioned(figure, caption, (BASELINE, arm))


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
  axes.set(ylabel=MAE, xlabel='arm (line: median over draws)')
  return _captioned(figure, 'MAE of each draw of support clips, mean over speakers.', arms)


def shots(scores: Scores, curves: Sequence[Curve]) -> Picture | None:
  """MAE by the number of support clips, with 95% intervals.

  Args:
    scores: the records of every number of support clips.
    curves: `shots_curve.curves` of them.
  """
  ticks, arms = counts(curves), scores.arms
  if len(ticks) < 2:
    return None
  figure, axes = subplots(height=3.8)
  if BASELINE in arms:
    mean = statistics.mean_over_users(scores.values('mae', BASELINE).table)
    axes.axhline(mean, **style(BASELINE) | dict(marker='none'))
  for shift, curve in zip(np.linspace(-0.24, 0.24, len(curves)), curves, strict=True):
    points = curve.points.values()
    means = np.array([point.mean for point in points])
    ends = np.array([[p.mean - p.low for p in points], [p.high - p.mean for p in points]])
    places = np.array([ticks.index(count) for count in curve.points])
    axes.errorbar(places + shift, means, ends, capsize=2, **style(curve.arm))
  axes.set_xticks(range(len(ticks)), ticks)
  axes.set(xlabel='support clips', ylabel=MAE)
  legend(figure)
  return _captioned(
    figure,
    'MAE by the number of support clips: means over speakers, with 95% intervals over speakers, '
    'seeds and draws.',
    arms,
  )


def scatter(predictions: Iterable[Prediction], scores: Scores, num_support: int) -> Picture | None:
  """Predicted against true sentiment of the first speaker's first draw, before and after.

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
  figure, grid = subplots(height=2.6, columns=2)
  for axes, trial in zip(grid.flat, wanted, strict=True):
    labels, predicted = zip(*points[trial], strict=True) if points[trial] else ((), ())
    axes.plot([-3, 3], [-3, 3], color='0.7', linewidth=1, zorder=0)
    axes.plot(labels, predicted, **style(trial.arm) | dict(linestyle='none'), markersize=4)
    axes.set(xlim=(-3.3, 3.3), ylim=(-3.3, 3.3), xlabel='true sentiment')
    axes.set_box_aspect(1)
    axes.set_title(f'{drawable(trial.user)}, {NAMES[trial.arm]}', fontsize=9)
  grid.flat[0].set_ylabel('predicted sentiment')
  caption = 'Query clips of one speaker, draw 0, before and after personalising.'
  return _captioned(figure, caption, (BASELINE, arm))
