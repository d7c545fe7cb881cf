"""The report as one HTML file: no network, no script, figures inside."""

import functools
import html
import pathlib
import re
from collections.abc import Iterator, Sequence

import markdown_it
from markdown_it.token import Token

from persona_jax.files import FIGURES, read_text
from persona_jax.reporting.document import Beside, Figures, Folded, Part
from persona_jax.reporting.page_style import STYLE

# Should anything ever slip through as an element, the browser still runs and loads nothing. The
# figure of attention holds its images as data.
_POLICY = (
  "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
  "form-action 'none'"
)
_NEVER = ('link', 'image', 'autolink', 'html_inline', 'html_block', 'reference')


def page(title: str, parts: Sequence[Part], workdir: pathlib.Path) -> str:
  """A page of these parts.

  Nothing in their Markdown becomes a link, an image or an element of its own: text from data can
  bring nothing into the page but text.

  Args:
    title: in plain text.
    parts: of the report.
    workdir: whose folder of figures has theirs.
  """
  body = ''.join(_rendered(part, workdir) for part in parts)
  return (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f'<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n'
    f'<body>\n<main>\n{body}</main>\n</body>\n</html>\n'
  )


def _rendered(part: Part, workdir: pathlib.Path) -> str:
  match part:
    case Figures(captions):
      drawn = (_figure(workdir, name, caption) for name, caption in captions.items())
      return f'<div class="figures">\n{"".join(drawn)}</div>\n' if captions else ''
    case Beside(text, figures):
      side = _rendered(figures, workdir)
      text = _rendered(text, workdir)
      return f'<div class="beside">\n<div>\n{text}</div>\n{side}</div>\n' if side else text
    case Folded(summary, text):
      summary = html.escape(summary)
      return f'<details>\n<summary>{summary}</summary>\n{_rendered(text, workdir)}</details>\n'
    case text:
      tokens = _parser().parse(text)
      return _parser().renderer.render(list(_accessible(tokens)), _parser().options, {})


@functools.cache
def _parser() -> markdown_it.MarkdownIt:
  parser = markdown_it.MarkdownIt('commonmark', {'html': False}).enable('table').disable(_NEVER)
  parser.add_render_rule('table_open', _table_open)
  parser.add_render_rule('table_close', lambda *_: '</table></div>\n')
  return parser


def _table_open(*_) -> str:
  """A table in a box of its own, which scrolls sideways, by keyboard too."""
  return '<div class="wide" role="region" aria-label="Table" tabindex="0"><table>\n'


def _accessible(tokens: Sequence[Token]) -> Iterator[Token]:
  """Says of every header cell what it heads; the first cell of a row heads the row."""
  first = False
  for token in tokens:
    if token.type == 'tr_open':
      first = True
    elif token.type == 'th_open':
      token.attrSet('scope', 'col')
    elif token.type == 'td_open' and first:
      token.tag = 'th'
      token.attrSet('scope', 'row')
    elif token.type == 'td_close' and first:
      token.tag, first = 'th', False
    yield token


def _figure(workdir: pathlib.Path, name: str, caption: str) -> str:
  """The drawing itself, its names made its own: a page has several."""
  svg = read_text(workdir / FIGURES / f'{name}.svg')
  svg = svg[svg.index('<svg') :]
  svg = re.sub(r'\bid="', f'id="{name}-', svg)
  svg = re.sub(r'(url\(#|href="#)', rf'\g<1>{name}-', svg)
  described = f'<svg role="img" aria-labelledby="{name}-caption"'
  return (
    f'<figure>{svg.replace("<svg", described, 1)}'
    f'<figcaption id="{name}-caption">{html.escape(caption)}</figcaption></figure>\n'
  )
