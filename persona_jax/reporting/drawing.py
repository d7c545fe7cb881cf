"""How figures look, and how they become files: readable without colour vision, and in print.

All are narrow enough for a phone to show their words at a readable size. Arms are told apart by
marker and line as well as by colour (Okabe and Ito's palette, made for all kinds of colour vision,
https://jfly.uni-koeln.de/color).
"""

import functools
import io
import pathlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib import font_manager, ft2font
from matplotlib.figure import Figure

from persona_jax.arms import ARMS, MEMBER_OF, NAMES
from persona_jax.files import FIGURES, write_text
from persona_jax.reporting.markdown import visible
from persona_jax.targets import Target

COLOURS = ('#000000', '#999999', '#D55E00', '#0072B2', '#009E73', '#CC79A7', '#E69F00')
_MARKERS = 'oxsD^vP*Xdph<'
# Where a colour comes again, its line differs.
_LINES = ('-', ':', '--', '-', '-.', ':', '--', '--', '-.', '-', '--', '-', '-')
_WIDTH = 4.4  # inches
_LEGEND_ROW = 0.18  # inches of a row of a legend, which holds two arms
_LONGEST = 40  # characters of a name, beyond which it would leave no room for the axes
# Names are not formulas, and every run draws the same identifiers.
_SETTINGS: dict[Any, Any] = {
  'svg.hashsalt': 'persona_jax',
  'font.size': 9,
  'svg.fonttype': 'path',
  'text.parse_math': False,
  'text.usetex': False,
}


def mae_label(target: Target) -> str:
  """The label of an axis of errors."""
  return f'MAE ({target.points})'


class Picture(NamedTuple):
  """A figure and what it shows."""

  figure: Figure
  caption: str


def write(workdir: pathlib.Path, made: dict[str, Callable[[], Picture | None]]) -> dict[str, str]:
  """Writes `figures/<name>.svg` of every figure with data; returns {name: caption}."""
  folder = workdir / FIGURES
  folder.mkdir(exist_ok=True)
  captions = {}
  with matplotlib.rc_context(_SETTINGS):
    for name, make in made.items():
      if (picture := make()) is not None:
        write_text(folder / f'{name}.svg', _svg(picture.figure))
        captions[name] = picture.caption
  return captions


def _svg(figure: Figure) -> str:
  """The drawing, without the comments in which matplotlib repeats every text."""
  with io.StringIO() as file:
    figure.savefig(file, format='svg', metadata={'Date': None})
    return re.sub(r' *<!--.*?-->\n?', '', file.getvalue(), flags=re.DOTALL)


def drawable(name: str) -> str:
  """A name as the font can draw it: on one line, other characters as \\u2603, not too long."""
  text = ''.join(
    character if ord(character) in _glyphs() else character.encode('unicode_escape').decode('ascii')
    for character in visible(name)
  )
  return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'


@functools.cache
def _glyphs() -> frozenset[int]:
  font = ft2font.FT2Font(font_manager.findfont(font_manager.FontProperties()))
  return frozenset(font.get_charmap())


def style(arm: str) -> dict:
  """How an arm is drawn: of the ensemble as its member, but hollow and with a wider line."""
  if arm in MEMBER_OF:
    wide = dict(label=NAMES[arm], linewidth=2.2, markerfacecolor='white')
    return style(MEMBER_OF[arm]) | wide
  place = ARMS.index(arm)
  return dict(
    color=COLOURS[place % len(COLOURS)],
    marker=_MARKERS[place],
    linestyle=_LINES[place],
    label=NAMES[arm],
  )


def subplots(
  height: float = 3.2,
  rows: int | None = None,
  columns: int | None = None,
  share: bool = True,
  legend_of: int = 0,
):
  """A figure and its axes, [rows, columns] of them if either is given.

  It is `height` inches high, and so much higher as a legend of `legend_of` arms needs.
  """
  height += _LEGEND_ROW * -(-legend_of // 2)
  figure = Figure(figsize=(_WIDTH, height), layout='constrained')
  grid = figure.subplots(
    rows or 1, columns or 1, squeeze=not (rows or columns), sharex=share, sharey=share
  )
  for axes in np.atleast_1d(grid).flat:
    axes.spines[['top', 'right']].set_visible(False)
  return figure, grid


def legend(figure: Figure, axes=None) -> None:
  """One legend above all axes."""
  handles, labels = (axes or figure.axes[0]).get_legend_handles_labels()
  figure.legend(handles, labels, loc='outside upper center', ncols=2, frameon=False, fontsize=8)
