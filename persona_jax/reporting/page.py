"""The report as one HTML file: no network, no script, figures inside."""

import functools
import html
import pathlib
import re

import markdown_it

from persona_jax.files import FIGURES, read_text

# Should anything ever slip through as an element, the browser still runs and loads nothing. The figure
# of attention holds its images as data.
_POLICY = (
  "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
  "form-action 'none'"
)
_NEVER = ('link', 'image', 'autolink', 'html_inline', 'html_block', 'reference')
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem;
  overflow-wrap: anywhere; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
p, ul { max-width: 48rem; }
.wide { overflow-x: auto; }
table { border-collapse: separate; border-spacing: 0; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #8886; text-align: left; white-space: nowrap; }
th:first-child, td:first-child { position: sticky; left: 0; background: Canvas; padding-left: 0; }
figure { margin: 2rem 0; max-width: 38rem; } figcaption { font-size: .9rem; }
figure svg { width: 100%; height: auto; background: white; }
@media (max-width: 40rem) {
  th, td { padding: .3rem; }
  th:first-child, td:first-child { white-space: normal; min-width: 7.5rem; }
}
"""


def page(before: str, captions: dict[str, str], after: str, workdir: pathlib.Path) -> str:
  """A page of Markdown, then figures, then Markdown.

  Nothing in the Markdown becomes a link, an image or an element of its own: text from data cannot bring
  anything into the page but text.

  Args:
    before: opens with the title.
    captions: {name: caption} of the SVG files in the workdir's folder of figures.
  """
  figures = [
    _figure(workdir / FIGURES / f'{name}.svg', name, caption) for name, caption in captions.items()
  ]
  body = ''.join([_rendered(before), *figures, _rendered(after)])
  title = html.escape(before.splitlines()[0].lstrip('# '))
  return (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f'<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n'
  )


def _rendered(text: str) -> str:
  return (
    _parser()
    .render(text)
    .replace('<table>', '<div class="wide" tabindex="0"><table>')
    .replace('</table>', '</table></div>')
  )


@functools.cache
def _parser() -> markdown_it.MarkdownIt:
  return markdown_it.MarkdownIt('commonmark', {'html': False}).enable('table').disable(_NEVER)


def _figure(path: pathlib.Path, name: str, caption: str) -> str:
  """The drawing itself, its names made its own: a page has several."""
  svg = read_text(path)
  svg = svg[svg.index('<svg') :]
  svg = re.sub(r'\bid="', f'id="{name}-', svg)
  svg = re.sub(r'(url\(#|href="#)', rf'\g<1>{name}-', svg)
  caption = html.escape(caption)
  return (
    f'<figure role="img" aria-label="{caption}">{svg}<figcaption>{caption}</figcaption></figure>\n'
  )
