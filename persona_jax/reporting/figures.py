"""Figures of a study, from its records alone: readable in black and white and by the colour-blind.

All are so narrow that a phone shows their words large enough to be read. Arms are told apart by marker
and line as well as by colour (Okabe and Ito's palette, which all kinds of colour vision can tell apart,
https://jfly.uni-koeln.de/color).
"""

import itertools
import pathlib
from typing import Callable

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from persona_jax.arms import ARMS, BASELINE, NAMES, shown
from persona_jax.evaluation import statistics
from persona_jax.reporting.comparison import matrix
from persona_jax.reporting.records import by_arm

FOLDER = 'figures'
_COLOURS = ('#000000', '#999999', '#D55E00', '#0072B2', '#009E73', '#CC79A7', '#E69F00')
_MARKERS, _LINES = 'oxsD^vP', ('-', ':', '--', '-', '-.', ':', '--')
_MAE = 'MAE (sentiment points)'
_WIDTH = 4.4  # inches


def _style(arm: str) -> dict:
  place = ARMS.index(arm)
  return dict(color=_COLOURS[place], marker=_MARKERS[place], linestyle=_LINES[place],
              label=NAMES[arm])


def dumbbell(records: list[dict]) -> Figure | None:
  """Every speaker's MAE, from the baseline to the personalised predictor."""
  values = by_arm(records, 'mae')
  arm = shown(values)
  if arm is None or BASELINE not in values:
    return None
  users = [user for user in values[BASELINE] if user in values[arm]]
  before, after = ([float(statistics.user_means(values[a][user])) for user in users]
                   for a in (BASELINE, arm))
  figure, axes = _figure(height=1.2 + 0.3 * len(users))
  rows = np.arange(len(users))[::-1]
  axes.hlines(rows, before, after, color='0.6', linewidth=2, zorder=1)
  for which, points in ((BASELINE, before), (arm, after)):
    axes.plot(points, rows, **_style(which) | dict(linestyle='none'))
  axes.set_yticks(rows, users)
  axes.set(xlabel=_MAE, ylabel='speaker')
  _legend(figure)
  return figure


def draws(records: list[dict]) -> Figure | None:
  """How much the choice of support clips matters: a point a draw, the mean over speakers."""
  values = {arm: matrix(users) for arm, users in by_arm(records, 'mae').items()}
  figure, axes = _figure()
  for place, (arm, mae) in enumerate(values.items()):
    means = statistics.nanmean(np.moveaxis(mae, 0, -1)).ravel()  # over users
    spread = np.linspace(-0.2, 0.2, len(means)) if len(means) > 1 else [0]
    axes.plot(place + np.array(spread), means, **_style(arm) | dict(linestyle='none'), alpha=0.7)
    axes.hlines(np.nanmedian(means), place - 0.35, place + 0.35, color='black', linewidth=2)
  axes.set_xticks(range(len(values)), [NAMES[arm] for arm in values], rotation=30, ha='right')
  axes.set(ylabel=_MAE, xlabel='arm (line: median over draws)')
  return figure


def shots(records: list[dict]) -> Figure | None:
  """MAE by the number of support clips, with 95 % intervals."""
  counts = sorted({record['num_support'] for record in records if record['arm'] != BASELINE})
  if len(counts) < 2:
    return None
  figure, axes = _figure(height=3.8)
  arms = list(dict.fromkeys(record['arm'] for record in records))
  for shift, arm in zip(np.linspace(-0.24, 0.24, len(arms)), arms):
    if arm == BASELINE:
      mean = statistics.mean_over_users(matrix(by_arm(records, 'mae')[arm]))
      axes.axhline(mean, **_style(arm) | dict(marker='none'))
      continue
    intervals = [statistics.bootstrap(matrix(by_arm(
        [r for r in records if r['num_support'] == count], 'mae')[arm])) for count in counts]
    means = np.array([interval.mean for interval in intervals])
    ends = np.array([[i.mean - i.low for i in intervals], [i.high - i.mean for i in intervals]])
    axes.errorbar(np.arange(len(counts)) + shift, means, ends, capsize=2, **_style(arm))
  axes.set_xticks(range(len(counts)), counts)
  axes.set(xlabel='support clips', ylabel=_MAE)
  _legend(figure)
  return figure


def learning(curves: list[dict]) -> Figure | None:
  """Training and validation MAE of every fold, by epoch; the best epoch marked."""
  if not curves:
    return None
  folds = {name: list(rows) for name, rows in itertools.groupby(
      curves, key=lambda row: (row['user'], row['seed']))}
  columns = min(2, len(folds))
  rows = -(-len(folds) // columns)
  figure, grid = _figure(height=1.3 * rows + 0.8, rows=rows, columns=columns)
  for axes, ((user, seed), points) in zip(grid.flat, folds.items()):
    epochs = [point['epoch'] for point in points]
    valid = [point['valid'] for point in points]
    best = int(np.argmin(valid))
    axes.plot(epochs, [point['train'] for point in points], '--', color=_COLOURS[2], label='training')
    axes.plot(epochs, valid, '-', color=_COLOURS[3], label='validation')
    axes.plot(epochs[best], valid[best], 'o', color='black', markersize=4, label='best epoch')
    axes.set_title(f'{user}, seed {seed}', fontsize=8)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  for axes in list(grid.flat)[len(folds):]:
    axes.remove()
  figure.supxlabel('epoch', fontsize=9)
  figure.supylabel(_MAE, fontsize=9)
  _legend(figure, grid.flat[0])
  return figure


def scatter(predictions: list[dict], records: list[dict], num_support: int) -> Figure | None:
  """Predicted against true sentiment of the first speaker's first draw, before and after."""
  arms = {record['arm'] for record in records}
  arm = shown(arms)
  if arm is None or BASELINE not in arms or not predictions:
    return None
  user, seed = predictions[0]['user'], predictions[0]['seed']
  figure, grid = _figure(height=2.6, columns=2)
  for axes, which in zip(grid.flat, (BASELINE, arm)):
    rows = [r for r in predictions
            if (r['user'], r['arm'], r['seed'], r['draw']) == (user, which, seed, '0')
            and r.get('num_support', str(num_support)) == str(num_support)]
    axes.plot([-3, 3], [-3, 3], color='0.7', linewidth=1, zorder=0)
    axes.plot([float(r['label']) for r in rows], [float(r['prediction']) for r in rows],
              **_style(which) | dict(linestyle='none'), markersize=4)
    axes.set(xlim=(-3.3, 3.3), ylim=(-3.3, 3.3), xlabel='true sentiment')
    axes.set_box_aspect(1)
    axes.set_title(f'{user}, {NAMES[which]}', fontsize=9)
  grid.flat[0].set_ylabel('predicted sentiment')
  return figure


def attention(maps: dict | None) -> Figure | None:
  """Which words the audio's and vision's streams attended to, before and after personalising."""
  if not maps:
    return None
  modalities = list(maps['before'])
  figure, grid = _figure(height=1.8 * len(modalities) + 0.6, rows=len(modalities), columns=2, share=False)
  peak = max(np.max(table) for when in ('before', 'after') for table in maps[when].values())
  for panels, modality in zip(grid, modalities):
    for axes, when in zip(panels, ('before', 'after')):
      rows, columns = np.shape(maps[when][modality])
      image = axes.imshow(maps[when][modality], cmap='cividis', vmin=0, vmax=peak, aspect='auto',
                          interpolation='nearest', extent=(0.5, columns + 0.5, rows + 0.5, 0.5))
      for axis in (axes.xaxis, axes.yaxis):  # counted from 1
        axis.set_major_locator(ticker.MaxNLocator(integer=True))
      axes.set(xlabel='word', ylabel=f'step of {modality}')
      axes.set_title(NAMES[BASELINE if when == 'before' else maps['arm']], fontsize=9)
  figure.colorbar(image, ax=grid, label='attention weight')
  figure.suptitle(maps['clip'], fontsize=9)
  return figure


CAPTIONS: dict[str, str] = {
    'speakers': 'Each speaker\'s MAE before and after personalising, means over seeds and draws.',
    'draws': 'MAE of each draw of support clips, mean over speakers.',
    'shots': 'MAE by the number of support clips: means over speakers, 95 % intervals over speakers, '
             'seeds and draws.',
    'attention': 'What the audio and vision of one clip attended to among its words, before and after '
                 'personalising: last crossmodal layer, mean over heads; behind the words and steps the '
                 'learnable tokens.',
    'learning': 'Pre-training of each fold, named after the speaker who is held out.',
    'scatter': 'Query clips of one speaker, draw 0, before and after personalising.'}


def write(workdir: pathlib.Path, made: dict[str, Callable[[], Figure | None]]) -> list[str]:
  """Writes `figures/<name>.svg` of every figure there is data for; returns their names."""
  folder = workdir / FOLDER
  folder.mkdir(exist_ok=True)
  names = []
  with matplotlib.rc_context({'svg.hashsalt': 'persona_jax', 'font.size': 9, 'svg.fonttype': 'path'}):
    for name, make in made.items():
      if (figure := make()) is not None:
        figure.savefig(folder / f'{name}.svg', metadata={'Date': None})
        names.append(name)
  return names


def _figure(height: float = 3.2, rows: int | None = None, columns: int | None = None, share: bool = True):
  """A figure and its axes, [rows, columns] of them if either is given."""
  figure = Figure(figsize=(_WIDTH, height), layout='constrained')
  grid = figure.subplots(rows or 1, columns or 1, squeeze=not (rows or columns), sharex=share,
                         sharey=share)
  for axes in np.atleast_1d(grid).flat:
    axes.spines[['top', 'right']].set_visible(False)
  return figure, grid


def _legend(figure: Figure, axes=None) -> None:
  handles, labels = (axes or figure.axes[0]).get_legend_handles_labels()
  figure.legend(handles, labels, loc='outside upper center', ncols=2, frameon=False, fontsize=8)
