"""The page: its elements, its policy, its style."""

import pathlib
import re

from parsed_page import Parsed
from studies import write

from persona_jax import files
from persona_jax.reporting import page, report
from persona_jax.reporting.document import Beside, Figures, Folded
from persona_jax.reporting.page_style import STYLE


def test_the_page_makes_nothing_of_raw_markdown(tmp_path):
  """The page's own defence, where text was not escaped."""
  raw = '<svg onload=alert(1)> ![](http://x/y.png) [x](javascript:alert(1)) <http://x>'
  hostile, plain = (Parsed(page.page('t', [text], tmp_path)) for text in (raw, 'x'))
  assert hostile.elements == plain.elements


def test_the_page_forbids_what_it_does_not_need(tmp_path):
  workdir = write(tmp_path)
  report.write([workdir], workdir)
  head, text = (workdir / files.PAGE).read_text().split('<style>', 1)
  (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', head)
  assert dict(part.split(' ', 1) for part in policy.split('; ')) == {
    'default-src': "'none'",
    'img-src': 'data:',
    'style-src': "'unsafe-inline'",
    'base-uri': "'none'",
    'form-action': "'none'",
  }
  assert '<!--' not in text and all(
    '<!--' not in path.read_text() for path in (workdir / 'figures').iterdir()
  )


def rendered(*parts, workdir=pathlib.Path()):
  text = page.page('A title', parts, workdir)
  return re.search('<main>\n(.*)</main>', text, re.DOTALL)[1]


def test_tables_say_what_their_headers_head_and_can_be_scrolled_by_keyboard():
  assert rendered('| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |') == (
    '<div class="wide" role="region" aria-label="Table" tabindex="0"><table>\n'
    '<thead>\n<tr>\n<th scope="col">a</th>\n<th scope="col">b</th>\n</tr>\n</thead>\n'
    '<tbody>\n<tr>\n<th scope="row">1</th>\n<td>2</td>\n</tr>\n'
    '<tr>\n<th scope="row">3</th>\n<td>4</td>\n</tr>\n</tbody>\n</table></div>\n'
  )


def test_no_markdown_makes_a_link_an_image_or_an_element():
  """Were a name ever to come in unescaped."""
  text = '[x](http://x) ![y](http://y.png) <b>z</b> <http://x>\n\n<div>\n\n[a]\n\n[a]: http://b'
  assert set(re.findall('<[^>]*>', rendered(text))) == {'<p>', '</p>'}


def test_folded_parts_and_titles_are_text():
  assert rendered(Folded('<b> & "x"', '<i>')) == (
    '<details>\n<summary>&lt;b&gt; &amp; &quot;x&quot;</summary>\n<p>&lt;i&gt;</p>\n</details>\n'
  )
  assert '<title>&lt;b&gt;</title>' in page.page('<b>', [], pathlib.Path())


def test_figures_are_named_by_their_captions_and_stand_beside_text(tmp_path):
  (tmp_path / files.FIGURES).mkdir()
  drawing = (
    '<?xml version="1.0"?>\n<svg width="9"><path id="a"/><use href="#a" fill="url(#a)"/></svg>'
  )
  (tmp_path / files.FIGURES / 'one.svg').write_text(drawing)
  assert rendered(Beside('# A', Figures({'one': '<b>.'})), workdir=tmp_path) == (
    '<div class="beside">\n<div>\n<h1>A</h1>\n</div>\n<div class="figures">\n'
    '<figure><svg role="img" aria-labelledby="one-caption" width="9"><path id="one-a"/>'
    '<use href="#one-a" fill="url(#one-a)"/></svg>'
    '<figcaption id="one-caption">&lt;b&gt;.</figcaption></figure>\n</div>\n</div>\n'
  )
  assert rendered(Beside('# A', Figures({})), Figures({})) == '<h1>A</h1>\n'


def test_the_style_knows_dark_screens_narrow_ones_and_paper():
  assert 'color-scheme: light dark' in STYLE and '(prefers-color-scheme: dark)' in STYLE
  assert '@media (max-width: 40rem)' in STYLE and '@media screen and (min-width: 60rem)' in STYLE
  paper = STYLE[STYLE.index('@media print') :]
  assert 'details::details-content { content-visibility: visible;' in paper
  assert 'break-inside: avoid' in paper and 'position: static' in paper
  assert STYLE.count('{') == STYLE.count('}') and '<' not in STYLE
  assert not re.search(r'url\(|@import', STYLE)
