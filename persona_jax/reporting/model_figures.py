"""Figures of what the model did: its training, and what it attended to."""

from collections.abc import Sequence

import numpy as np
from matplotlib import ticker

from persona_jax.arms import BASELINE, NAMES
from persona_jax.reporting.drawing import COLOURS, Picture, drawable, legend, mae_label, subplots
from persona_jax.targets import SENTIMENT, Target

MOST_PANELS = 20  # folds with axes of their own
_TRAINING = dict(label='training', linestyle='--', color=COLOURS[2])
_VALIDATION = dict(label='validation', linestyle='-', color=COLOURS[3])


def learning(
  curves: Sequence[dict], grouped: bool = False, target: Target = SENTIMENT
) -> Picture | None:
  """Training and validation MAE of every fold by epoch; of many folds, the spread.

  Args:
    curves: as `records.read_curves` gives them.
    grouped: whether a fold holds out a group of speakers.
    target: what is predicted.
  """
  folds: dict[tuple[str, int], list[dict]] = {}
  for row in curves:
    folds.setdefault((row['user'], row['seed']), []).append(row)
  if not folds:
    return None
  if len(folds) > MOST_PANELS:
    return _spread(list(folds.values()), target)
  return _panels(folds, grouped, target)


def _panels(folds: dict[tuple[str, int], list[dict]], grouped: bool, target: Target) -> Picture:
  """Axes per fold, with the best epoch marked."""
  columns = min(2, len(folds))
  rows = -(-len(folds) // columns)
  figure, grid = subplots(height=1.3 * rows + 0.8, rows=rows, columns=columns)
  panels = list(grid.flat)
  for axes, ((user, seed), points) in zip(panels, folds.items(), strict=False):
    epochs, train, valid = (
      [point[field] for point in points] for field in ('epoch', 'train', 'valid')
    )
    best = int(np.argmin(valid))
    axes.plot(epochs, train, **_TRAINING)
    axes.plot(epochs, valid, **_VALIDATION)
    axes.plot(epochs[best], valid[best], 'o', color='black', markersize=4, label='best epoch')
    axes.set_title(f'{drawable(user)}, seed {seed}', fontsize=8)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  for axes in panels[len(folds) :]:
    axes.remove()
  figure.supxlabel('epoch', fontsize=9)
  figure.supylabel(mae_label(target), fontsize=9)
  legend(figure, panels[0])
  held_out = 'group of speakers' if grouped else 'speaker'
  return Picture(figure, f'Pre-training per fold, named after the held-out {held_out}.')


def _spread(folds: list[list[dict]], target: Target) -> Picture:
  """The median over folds by epoch, and the band that holds the middle 80% of them."""
  figure, axes = subplots()
  epochs = np.arange(1, max(point['epoch'] for points in folds for point in points) + 1)
  for part, line in (('train', _TRAINING), ('valid', _VALIDATION)):
    losses = np.full((len(folds), len(epochs)), np.nan)
    for row, points in zip(losses, folds, strict=True):
      row[[point['epoch'] - 1 for point in points]] = [point[part] for point in points]
    low, median, high = np.nanpercentile(losses, (10, 50, 90), axis=0)
    axes.fill_between(epochs, low, high, color=line['color'], alpha=0.2, linewidth=0)
    axes.plot(epochs, median, **line)
  axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  axes.set(xlabel='epoch', ylabel=mae_label(target))
  legend(figure)
  return Picture(
    figure,
    f'Pre-training of {len(folds)} folds: the median over folds by epoch, and the band from their '
    '10th to their 90th percentile.',
  )


def attention(maps: dict | None) -> Picture | None:
  """Which words the audio and vision streams attended to, before and after personalising.

  Args:
    maps: `attention.json`.
  """
  if not maps:
    return None
  modalities = list(maps['before'])
  figure, grid = subplots(
    height=1.8 * len(modalities) + 0.6, rows=len(modalities), columns=2, share=False
  )
  peak = max(np.max(table) for when in ('before', 'after') for table in maps[when].values())
  for panels, modality in zip(grid, modalities, strict=True):
    for axes, when in zip(panels, ('before', 'after'), strict=True):
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
    'Attention of the audio and vision of one clip to its words, before and after personalising: '
    'last crossmodal layer, mean over heads. The learnable tokens come after the words and steps.',
  )
