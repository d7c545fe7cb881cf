"""The parts of a report, and how they read as Markdown; `page` makes HTML of the same parts."""

import html
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from persona_jax.files import FIGURES
from persona_jax.reporting.markdown import literal


class Figures(NamedTuple):
  """Figures that stand side by side where there is room.

  Attributes:
    captions: {name: caption} of the SVG files in the workdir's folder of figures.
  """

  captions: dict[str, str]


class Beside(NamedTuple):
  """Markdown with its figures, beside it where there is room."""

  text: str
  figures: Figures


class Folded(NamedTuple):
  """Markdown that a reader unfolds, under a summary in plain text."""

  summary: str
  text: str


Part: TypeAlias = str | Figures | Beside | Folded  # a string is Markdown


def as_markdown(parts: Sequence[Part]) -> str:
  """The whole report as GitHub renders it."""
  return '\n\n'.join(block for part in parts for block in _blocks(part)) + '\n'


def _blocks(part: Part) -> list[str]:
  match part:
    case Figures(captions):
      return [f'![{literal(caption)}]({FIGURES}/{name}.svg)' for name, caption in captions.items()]
    case Beside(text, figures):
      return [text, *_blocks(figures)]
    case Folded(summary, text):
      # The blank lines around the text make it Markdown again.
      return [f'<details>\n<summary>{html.escape(summary)}</summary>', text, '</details>']
    case text:
      return [text]
