"""Cells and tables in Markdown, and text from elsewhere shown in them as it is."""

import re
from collections.abc import Sequence

import numpy as np

from persona_jax.evaluation.statistics import Interval

# What can act in Markdown: anywhere, not within a word (snake_case), and at the start of a block.
_ACTS = re.compile(
  r'[\\`*\[\]<>&|~$#]'
  r'|(?<![^\W_])_|_(?![^\W_])'
  r'|\A[-+](?=[-+ ]|\Z)'
)
_NUMBERED = re.compile(r'\A\d{1,9}[.)](?= |\Z)')


def visible(text: str) -> str:
  """`text` on one line that no terminal acts on: what cannot be printed is shown as \\n or \\x1b.

  Invisible and direction-changing characters count as not printable, and spaces other than ' '.
  """
  return ''.join(
    character if character.isprintable() else character.encode('unicode_escape').decode('ascii')
    for character in text
  )


def literal(text: str) -> str:
  """Markdown, for a cell or a sentence, that renders as `visible(text)` and does nothing else.

  Every string that comes from data, from the command line or from the machine passes through here.
  """
  text = visible(text)
  core = text.strip(' ')
  before = len(text) - len(text.lstrip(' ')) if core else 0
  space = '&#32;'  # spaces themselves would be stripped from the ends of a cell
  return space * before + _escaped(core) + space * (len(text) - len(core) - before)


def _escaped(text: str) -> str:
  escaped = _ACTS.sub(lambda match: '\\' + match[0], text)
  return _NUMBERED.sub(lambda match: f'{match[0][:-1]}\\{match[0][-1]}', escaped)


def table(header: list[str], rows: list[list[str]]) -> str:
  """A Markdown table."""
  lines = [header, ['---'] * len(header), *rows]
  return '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in lines)


def listed(words: Sequence[str]) -> str:
  """'a, b and c'."""
  return ' and '.join([', '.join(words[:-1]), words[-1]] if len(words) > 1 else words)


def number(value: float | None, signed: bool = False) -> str:
  """Three decimals; a dash where undefined, and no sign where nothing is left of a negative."""
  if value is None or np.isnan(value):
    return '–'
  value = round(float(value), 3) + 0.0
  return f'{value:+.3f}' if signed else f'{value:.3f}'


def p_value(value: float) -> str:
  """Three decimals; a dash where undefined."""
  return literal('< 0.001') if value < 0.001 else number(value)


def interval(given: Interval, signed: bool = False) -> str:
  """The mean and its interval, with the count of metrics that were undefined."""
  text = f'{number(given.mean, signed)} [{number(given.low, signed)}, {number(given.high, signed)}]'
  return text + (f' ({given.undefined} undefined)' if given.undefined else '')
