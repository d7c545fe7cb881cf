"""The report as one HTML file: no network, no script, figures inside."""

import html
import pathlib
import re

import markdown_it

from persona_jax.reporting.figures import CAPTIONS, FOLDER

_STYLE = '''
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
'''


def page(report: str, workdir: pathlib.Path) -> str:
  """The Markdown report as a page, with the SVG figures that it names in it."""
  body = markdown_it.MarkdownIt('commonmark').enable('table').render(report)
  body = body.replace('<table>', '<div class="wide" tabindex="0"><table>').replace(
      '</table>', '</table></div>')
  images = re.compile(rf'<p><img src="{FOLDER}/(\w+)\.svg" alt="[^"]*" ?/?></p>')
  body = images.sub(lambda match: _figure(workdir / FOLDER / f'{match[1]}.svg', match[1]), body)
  title = html.escape(report.splitlines()[0].lstrip('# '))
  return ('<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
          '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
          f'<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n')


def _figure(path: pathlib.Path, name: str) -> str:
  """The drawing itself, its names made its own: a page has several."""
  svg = path.read_text()
  svg = svg[svg.index('<svg'):]
  svg = re.sub(r'\bid="', f'id="{name}-', svg)
  svg = re.sub(r'(url\(#|href="#)', rf'\g<1>{name}-', svg)
  caption = html.escape(CAPTIONS[name])
  return (f'<figure role="img" aria-label="{caption}">{svg}<figcaption>{caption}</figcaption></figure>')
