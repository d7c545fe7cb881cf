"""Figures of a study, from its records alone."""

import itertools
from collections.abc import Collection, Iterable

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from persona_jax.arms import BASELINE, NAMES, headline_arm
from persona_jax.evaluation import statistics
from persona_jax.reporting.arm_comparison import caveat
from persona_jax.reporting.drawing import (
  COLOURS,
  Picture,
  drawable,
  legend,
  style,
  subplots,
)
from persona_jax.reporting.records import Prediction
from persona_jax.reporting.scores import Scores

_MAE = 'MAE (sentiment points)'
MOST_LABELLED, MOST_PANELS = 40, 20  # speakers with a name each; folds with axes of their own


def _captioned(figure: Figure, caption: str, arms: Collection[str] = ()) -> Picture:
  return Picture(figure, ' '.join([caption, *caveat(arms)]))


def dumbbell(scores: Scores) -> Picture | None:
  """Every speaker's MAE, from the baseline to the personalised predictor."""
  arm = headline_arm(scores.arms)
  if arm is None or BASELINE not in scores.arms:
    return None
  means = {}
  for which in (BASELINE, arm):
    users, table = scores.values('mae', which)
    means[which] = dict(zip(users, statistics.user_means(table).tolist()))
  users = [user for user in means[BASELINE] if user in means[arm]]
  caption = "Each speaker's MAE before and after personalising, means over seeds and draws."
  few = len(users) <= MOST_LABELLED
  if not few:
    users.sort(key=means[BASELINE].get)
    caption += ' Speakers are sorted by their MAE before.'
  before, after = ([means[which][user] for user in users] for which in (BASELINE, arm))
  figure, axes = subplots(height=1.2 + 0.3 * len(users) if few else 7)
  rows = np.arange(len(users))[::-1]
  axes.hlines(rows, before, after, color='0.6', linewidth=2 if few else 0.5, zorder=1)
  size = {} if few else dict(markersize=2)
  for which, points in ((BASELINE, before), (arm, after)):
    axes.plot(points, rows, **style(which) | dict(linestyle='none') | size)
  axes.set_yticks(rows if few else [], [drawable(user) for user in users] if few else [])
  axes.set(xlabel=_MAE, ylabel='speaker' if few else f'{len(users)} speakers')
  legend(figure)
  return _captioned(figure, caption, (BASELINE, arm))


def draws(scores: Scores) -> Picture | None:
  """How much the choice of support clips matters: a point a draw, the mean over speakers."""
  figure, axes = subplots()
  for place, arm in enumerate(scores.arms):
    mae = scores.values('mae', arm).table
    means = statistics.nanmean(np.moveaxis(mae, 0, -1)).ravel()  # over users
    spread = np.linspace(-0.2, 0.2, len(means)) if len(means) > 1 else [0]
    axes.plot(place + np.array(spread), means, **style(arm) | dict(linestyle='none'), alpha=0.7)
    axes.hlines(np.nanmedian(means), place - 0.35, place + 0.35, color='black', linewidth=2)
  axes.set_xticks(
    range(len(scores.arms)), [NAMES[arm] for arm in scores.arms], rotation=30, ha='right'
  )
  axes.set(ylabel=_MAE, xlabel='arm (line: median over draws)')
  return _captioned(figure, 'MAE of each draw of support clips, mean over speakers.', scores.arms)


def shots(scores: Scores) -> Picture | None:
  """MAE by the number of support clips, with 95 % intervals."""
  personal = {arm: scores.only(arm=arm).shots for arm in scores.arms if arm != BASELINE}
  counts = sorted(set().union(*personal.values()))
  if len(counts) < 2:
    return None
  figure, axes = subplots(height=3.8)
  for shift, arm in zip(np.linspace(-0.24, 0.24, len(scores.arms)), scores.arms):
    if arm == BASELINE:
      mean = statistics.mean_over_users(scores.values('mae', arm).table)
      axes.axhline(mean, **style(arm) | dict(marker='none'))
      continue
    intervals = statistics.bootstraps(
      [scores.only(count).values('mae', arm).table for count in personal[arm]]
    )
    means = np.array([interval.mean for interval in intervals])
    ends = np.array([[i.mean - i.low for i in intervals], [i.high - i.mean for i in intervals]])
    places = np.array([counts.index(count) for count in personal[arm]])
    axes.errorbar(places + shift, means, ends, capsize=2, **style(arm))
  axes.set_xticks(range(len(counts)), counts)
  axes.set(xlabel='support clips', ylabel=_MAE)
  legend(figure)
  return _captioned(
    figure,
    'MAE by the number of support clips: means over speakers, 95 % intervals '
    'over speakers, seeds and draws.',
    scores.arms,
  )


def learning(curves: list[dict]) -> Picture | None:
  """Training and validation MAE of every fold by epoch, the best epoch marked; of many, the spread."""
  folds = {}
  for row in curves:
    folds.setdefault((row['user'], row['seed']), []).append(row)
  if not folds:
    return None
  if len(folds) > MOST_PANELS:
    return _spread(list(folds.values()))
  columns = min(2, len(folds))
  rows = -(-len(folds) // columns)
  figure, grid = subplots(height=1.3 * rows + 0.8, rows=rows, columns=columns)
  for axes, ((user, seed), points) in zip(grid.flat, folds.items()):
    epochs = [point['epoch'] for point in points]
    valid = [point['valid'] for point in points]
    best = int(np.argmin(valid))
    axes.plot(
      epochs, [point['train'] for point in points], '--', color=COLOURS[2], label='training'
    )
    axes.plot(epochs, valid, '-', color=COLOURS[3], label='validation')
    axes.plot(epochs[best], valid[best], 'o', color='black', markersize=4, label='best epoch')
    axes.set_title(f'{drawable(user)}, seed {seed}', fontsize=8)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  for axes in list(grid.flat)[len(folds) :]:
    axes.remove()
  figure.supxlabel('epoch', fontsize=9)
  figure.supylabel(_MAE, fontsize=9)
  legend(figure, grid.flat[0])
  return Picture(figure, 'Pre-training of each fold, named after the speaker who is held out.')


def _spread(folds: list[list[dict]]) -> Picture:
  """The median over folds by epoch, and the band that holds the middle 80 % of them."""
  figure, axes = subplots()
  epochs = np.arange(1, max(point['epoch'] for points in folds for point in points) + 1)
  for part, label, line, colour in (
    ('train', 'training', '--', COLOURS[2]),
    ('valid', 'validation', '-', COLOURS[3]),
  ):
    losses = np.full((len(folds), len(epochs)), np.nan)
    for row, points in zip(losses, folds):
      row[[point['epoch'] - 1 for point in points]] = [point[part] for point in points]
    low, median, high = np.nanpercentile(losses, (10, 50, 90), axis=0)
    axes.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(epochs, median, line, color=colour, label=label)
  axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  axes.set(xlabel='epoch', ylabel=_MAE)
  legend(figure)
  return Picture(
    figure,
    f'Pre-training of {len(folds)} folds: the median over folds by epoch, and the '
    'band from their 10th to their 90th percentile.',
  )


def scatter(predictions: Iterable[Prediction], scores: Scores, num_support: int) -> Picture | None:
  """Predicted against true sentiment of the first speaker's first draw, before and after.

  Args:
    predictions: read only as far as they are needed.
    scores: the records of `num_support` clips.
  """
  predictions, arm = iter(predictions), headline_arm(scores.arms)
  first = next(predictions, None) if arm is not None and BASELINE in scores.arms else None
  if first is None:
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
  for axes, trial in zip(grid.flat, wanted):
    labels, predicted = zip(*points[trial]) if points[trial] else ((), ())
    axes.plot([-3, 3], [-3, 3], color='0.7', linewidth=1, zorder=0)
    axes.plot(labels, predicted, **style(trial.arm) | dict(linestyle='none'), markersize=4)
    axes.set(xlim=(-3.3, 3.3), ylim=(-3.3, 3.3), xlabel='true sentiment')
    axes.set_box_aspect(1)
    axes.set_title(f'{drawable(trial.user)}, {NAMES[trial.arm]}', fontsize=9)
  grid.flat[0].set_ylabel('predicted sentiment')
  return _captioned(
    figure, 'Query clips of one speaker, draw 0, before and after personalising.', (BASELINE, arm)
  )


def attention(maps: dict | None) -> Picture | None:
  """Which words the audio's and vision's streams attended to, before and after personalising."""
  if not maps:
    return None
  modalities = list(maps['before'])
  figure, grid = subplots(
    height=1.8 * len(modalities) + 0.6, rows=len(modalities), columns=2, share=False
  )
  peak = max(np.max(table) for when in ('before', 'after') for table in maps[when].values())
  for panels, modality in zip(grid, modalities):
    for axes, when in zip(panels, ('before', 'after')):
      rows, columns = np.shape(maps[when][modality])
      image = axes.imshow(
        maps[when][modality],
        cmap='cividis',
        vmin=0,
        vmax=peak,
        aspect='auto',
        interpolation='nearest',
        extent=(0.5, columns + 0.5, rows + 0.5, 0.5),
      )
      for axis in (axes.xaxis, axes.yaxis):  # counted from 1
        axis.set_major_locator(ticker.MaxNLocator(integer=True))
      axes.set(xlabel='word', ylabel=f'step of {modality}')
      axes.set_title(NAMES[BASELINE if when == 'before' else maps['arm']], fontsize=9)
  figure.colorbar(image, ax=grid, label='attention weight')
  figure.suptitle(drawable(maps['clip']), fontsize=9)
  return Picture(
    figure,
    'What the audio and vision of one clip attended to among its words, before '
    'and after personalising: last crossmodal layer, mean over heads; behind the words '
    'and steps the learnable tokens.',
  )
