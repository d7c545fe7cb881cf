"""The page shows every name, and no name acts: no element, no attribute, no request is a name's."""

import collections
import functools
import html.parser
import pathlib
import re
import warnings

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from studies import CONFIG, ENVIRONMENT, GROUPED, of_mae, write

from persona_jax import files
from persona_jax.reporting import page, records, report, run_comparison
from persona_jax.reporting.document import Beside, Figures, Folded
from persona_jax.reporting.markdown import visible
from persona_jax.reporting.page_style import STYLE
from persona_jax.reporting.results import Results
from persona_jax.reporting.scores import Scores

ATTACKS = (
  '<svg onload=alert(1)>',
  '![](http://x/y.png)',
  'a|b',
  '[x](javascript:alert(1))',
  '<script>',
  '&lt;b&gt;',
  r'$\frac$',
  '`x`',
  '\\|',
  '|',
  '\\',
  ' ',
  '',
  '  x  ',
  '\n\n# x',
  '\x1b[31m',
  '</td></table><h1>',
  '<!-- x',
  '-->',
  '<http://x>',
  '[a]: http://x',
  '"><img src=x onerror=alert(1)>',
  "' style='x",
  '1. x',
  '- x',
  '***',
  '$$',
  '~~x~~',
  'https://x.y',
  '\ud800',
  '\x00',
  '&#60;b&#62;',
  '&nbsp;',
  '<?php ?>',
  '<![CDATA[x]]>',
  '</figure>',
  ']]>',
  '☃山\U0001f984',
  'a\u202eb',
  '|---|',
  '\\\\|',
)
PLAIN = ('ann', 'bo', 'cy')
any_name = strategies.text(
  strategies.characters(exclude_categories=()), max_size=12
) | strategies.sampled_from(ATTACKS)


# Every element that a report puts into its page, with its attributes; drawings hold their own.
WHOLE = {  # of figures and real differences
  ('strong',),
  ('div',),  # of text that has figures beside it
  ('figure',),
  (
    'svg',
    'role',
    'aria-labelledby',
    'xmlns:xlink',
    'width',
    'height',
    'viewbox',
    'xmlns',
    'version',
  ),
  ('figcaption', 'id'),
  ('div', 'class'),
}
ELEMENTS = WHOLE | {
  ('html', 'lang'),
  ('head',),
  ('meta', 'charset'),
  ('meta', 'http-equiv', 'content'),
  ('meta', 'name', 'content'),
  ('title',),
  ('style',),
  ('body',),
  ('main',),
  *((tag,) for tag in ('h1', 'h2', 'h3', 'p', 'ul', 'li', 'code', 'details', 'summary')),
  ('div', 'class', 'role', 'aria-label', 'tabindex'),
  *((tag,) for tag in ('table', 'thead', 'tbody', 'tr', 'td')),
  ('th', 'scope'),
}


class Parsed(html.parser.HTMLParser):
  """The elements of a page with their attributes' names, the rows' headers and the list's items.

  Attributes:
    elements, drawn: outside and inside of drawings.
    counts: {element: how often}.
  """

  def __init__(self, text):
    super().__init__(convert_charrefs=True)
    self.elements, self.drawn, self.counts = set(), set(), collections.Counter()
    self.headers, self.items, self.comments = [], [], []
    self._into, self._depth = None, 0
    self.feed(text)
    self.close()

  def handle_starttag(self, tag, attributes):
    element = (tag, *(name for name, _ in attributes))
    (self.drawn if self._depth else self.elements).add(element)
    self.counts[element] += 1
    self._depth += tag == 'svg'
    if tag in ('th', 'li'):
      self._into = self.headers if tag == 'th' else self.items
      self._into.append('')

  def handle_endtag(self, tag):
    self._depth -= tag == 'svg'
    if tag in ('th', 'li'):
      self._into = None

  def handle_data(self, data):
    if self._into is not None:
      self._into[-1] += data

  def handle_comment(self, data):
    self.comments.append(data)

  def users(self):
    """The names in the tables per user, behind their ranks."""
    return [re.sub(r'\A\d+: ?', '', cell) for cell in self.headers if re.match(r'\d+:', cell)]

  handle_decl = handle_pi = unknown_decl = handle_comment


@functools.cache
def plain_tables_page(num_notes):
  return tables_page(PLAIN, ['x'] * num_notes)


def tables_page(users, notes):
  """The page without figures."""
  scores = Scores.of(
    of_mae(user, arm, draw, mae)
    for user in users
    for arm, mae in (('baseline', 1.0), ('fs_ua', 0.5))
    for draw in (0, 1)
  )
  corpus = dict(users=dict.fromkeys(users, 9), num_speakers=9, num_clips=90, notes=notes)
  loaded = Results((), CONFIG, corpus, {pathlib.Path('run'): ENVIRONMENT}, scores)
  parts = report.document(loaded, {})
  return Parsed(page.page(report.title(loaded), parts, pathlib.Path()))


@hypothesis.settings(
  max_examples=100,
  deadline=None,
  database=None,
  derandomize=True,
)
@hypothesis.given(
  users=strategies.lists(any_name, min_size=3, max_size=3, unique=True),
  video=any_name,
  file=any_name,
)
def test_any_name_is_shown_and_does_nothing(users, video, file):
  expect_shown(users, [f'{file}: frames without an interval: 3.', f'{video}[3]', file])


@pytest.mark.parametrize('start', range(0, len(ATTACKS) - 2, 3))
def test_attacks_are_shown_and_do_nothing(start):
  expect_shown(ATTACKS[start : start + 3], ATTACKS)


def expect_shown(users, notes):
  parsed, plain = tables_page(users, notes), plain_tables_page(len(notes))
  assert parsed.elements == plain.elements == ELEMENTS - WHOLE
  assert parsed.counts == plain.counts  # of every element
  assert parsed.users() == [visible(user) for user in users] * 2  # Tables 1 and 2
  assert parsed.items[-len(notes) :] == [visible(note) for note in notes]
  assert parsed.comments == plain.comments and len(plain.comments) == 1  # the doctype alone


def test_whole_reports_with_hostile_names(tmp_path):
  """Wherever a name can be: records, curves, predictions, attention, environment, notes."""
  hostile = report_with(
    tmp_path / 'hostile', ATTACKS, '<svg onload=alert(1)> $\\frac$ ☃山\n--> `x`'
  )
  plain = report_with(tmp_path / 'plain', PLAIN, 'x')
  assert hostile.elements == plain.elements | {('strong',)} == ELEMENTS  # many speakers
  assert hostile.drawn == plain.drawn  # within figures
  assert len(hostile.comments) == len(plain.comments) == 1  # the doctype
  assert hostile.users() == [visible(user) for user in ATTACKS] * 2


def test_reports_of_groups_and_personas_with_hostile_names(tmp_path):
  """One table of users; few and many speakers, whose figures differ, have the same elements."""
  arms = ('baseline', 'calibrated', 'label_mean', 'bayes')
  hostile, plain = (
    report_with(tmp_path / name, users, note, arms=arms, config=GROUPED)
    for name, users, note in (
      ('hostile', ATTACKS, '<svg onload=alert(1)>\n`x`'),
      ('plain', PLAIN, 'x'),
    )
  )
  assert hostile.elements | {('strong',)} == plain.elements | {('strong',)} == ELEMENTS
  assert hostile.drawn == plain.drawn
  assert len(hostile.comments) == len(plain.comments) == 1  # the doctype
  assert hostile.users() == [visible(user) for user in ATTACKS]


@pytest.fixture(scope='module')
def plain_report(tmp_path_factory):
  return report_with(tmp_path_factory.mktemp('plain'), PLAIN, 'x')


@hypothesis.settings(
  max_examples=8,
  deadline=None,
  database=None,
  derandomize=True,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
  users=strategies.lists(any_name, min_size=3, max_size=3, unique=True), name=any_name
)
def test_whole_reports_with_any_names(tmp_path, plain_report, users, name):
  given = report_with(tmp_path / 'given', users, name or 'x')
  assert (given.elements, given.drawn) == (plain_report.elements, plain_report.drawn)
  assert len(given.comments) == 1
  assert given.users() == [visible(user) for user in users] * 2


def test_the_page_makes_nothing_of_raw_markdown(tmp_path):
  """The page's own defence, where text was not escaped."""
  raw = '<svg onload=alert(1)> ![](http://x/y.png) [x](javascript:alert(1)) <http://x>'
  hostile, plain = (Parsed(page.page('t', [text], tmp_path)) for text in (raw, 'x'))
  assert hostile.elements == plain.elements


def report_with(workdir, users, name, arms=('baseline', 'mean_shift', 'fs_ua'), config=CONFIG):
  write(
    workdir,
    arms=arms,
    config=config,
    all_shots=(1, 5),
    users=users,
    everybody=users,
    clips=3,
    draws=1,
    notes=[name],
  )
  records.write_curves(workdir, {(user, 0): np.ones((2, 2)) for user in users[:4]})
  files.write_json(
    workdir / files.ENVIRONMENT,
    dict(python=name, packages={name: name}, devices=[name], commit=name, config_hash=name),
  )
  table = {'audio': [[0.5, 0.5]]}
  files.write_json(
    workdir / files.ATTENTION, dict(user=name, arm='fs_ua', clip=name, before=table, after=table)
  )
  with warnings.catch_warnings():
    warnings.simplefilter('error')  # matplotlib's, of glyphs that a font lacks
    report.write([workdir], workdir)
  text = (workdir / files.PAGE).read_text()
  assert not re.search(r'<script|<link|<img|@import|javascript:(?!alert\(1\)\))|url\((?!#)', text)
  assert not re.search(r'(?:src|href)="(?!#|data:)', text)
  return Parsed(text)


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


def test_runs_of_hostile_folders_are_compared_as_text(tmp_path):
  one, two = (write(tmp_path / name) for name in ('a|b <b>', '![](x)\n# y'))
  rows = [line for line in run_comparison.compare([one, two]).splitlines() if line.startswith('| ')]
  bars = {len(re.findall(r'(?<!\\)\|', row)) for row in rows}
  assert bars == {8} and r'a\|b \<b\>' in rows[0] and r'!\[\](x)\\n\# y' in rows[0]


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
