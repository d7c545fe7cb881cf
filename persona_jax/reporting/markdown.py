"""Cells and tables in Markdown."""

import numpy as np

from persona_jax.evaluation.statistics import Interval


def table(header: list[str], rows: list[list[str]]) -> str:
  """A Markdown table."""
  lines = [header, ['---'] * len(header), *rows]
  return '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in lines)


def number(value: float | None, signed: bool = False) -> str:
  """Three decimals; a dash where undefined, and no sign where nothing is left of a negative."""
  if value is None or np.isnan(value):
    return '–'
  value = round(float(value), 3) + 0.0
  return f'{value:+.3f}' if signed else f'{value:.3f}'


def interval(given: Interval, signed: bool = False) -> str:
  """The mean and its interval, with the count of figures that were undefined."""
  text = f'{number(given.mean, signed)} [{number(given.low, signed)}, {number(given.high, signed)}]'
  return text + (f' ({given.undefined} undefined)' if given.undefined else '')
