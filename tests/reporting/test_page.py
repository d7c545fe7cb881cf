"""The page shows every name, and no name acts: no element, no attribute, no request is a name's."""

import html.parser
import itertools
import re
import warnings

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from studies import of_mae, write

from persona_jax import files
from persona_jax.evaluation import statistics
from persona_jax.reporting import page, records, report, run_comparison, tables
from persona_jax.reporting.markdown import visible
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


class Parsed(html.parser.HTMLParser):
  """The elements of a page with their attributes' names, the tables' cells and the list's items."""

  def __init__(self, text):
    super().__init__(convert_charrefs=True)
    self.elements, self.cells, self.items, self.comments = set(), [], [], []
    self._into = None
    self.feed(text)
    self.close()

  def handle_starttag(self, tag, attributes):
    self.elements.add((tag, *(name for name, _ in attributes)))
    if tag in ('td', 'li'):
      self._into = self.cells if tag == 'td' else self.items
      self._into.append('')

  def handle_endtag(self, tag):
    if tag in ('td', 'li'):
      self._into = None

  def handle_data(self, data):
    if self._into is not None:
      self._into[-1] += data

  def handle_comment(self, data):
    self.comments.append(data)

  def users(self):
    """The names in the tables per user, behind their ranks."""
    return [re.sub(r'\A\d+: ?', '', cell) for cell in self.cells if re.match(r'\d+:', cell)]

  handle_decl = handle_pi = unknown_decl = handle_comment


@pytest.fixture(scope='module', autouse=True)
def few_samples():
  """The intervals are of no interest here, and take the most time."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(statistics, '_SAMPLES', 50)
    yield


def tables_page(workdir, users, notes):
  """The page without figures."""
  scores = Scores.of(
    of_mae(user, arm, draw, mae)
    for user in users
    for arm, mae in (('baseline', 1.0), ('fs_ua', 0.5))
    for draw in (0, 1)
  )
  corpus = dict(users=dict.fromkeys(users, 9), num_speakers=9, num_clips=90, notes=notes)
  return Parsed(page.page(tables.report(scores, corpus, [], 5), {}, '', workdir))


@hypothesis.settings(
  max_examples=100,
  deadline=None,
  database=None,
  derandomize=True,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
  users=strategies.lists(any_name, min_size=3, max_size=3, unique=True),
  video=any_name,
  file=any_name,
)
def test_any_name_is_shown_and_does_nothing(tmp_path, users, video, file):
  expect_shown(tmp_path, users, [f'{file}: frames without an interval: 3.', f'{video}[3]', file])


@pytest.mark.parametrize('start', range(0, len(ATTACKS) - 2, 3))
def test_attacks_are_shown_and_do_nothing(tmp_path, start):
  expect_shown(tmp_path, ATTACKS[start : start + 3], ATTACKS)


def expect_shown(workdir, users, notes):
  parsed = tables_page(workdir, users, notes)
  plain = tables_page(workdir, PLAIN, ['x.csd: 3.', 'x[3]', 'x'])
  assert parsed.elements == plain.elements and len(parsed.cells) == len(plain.cells)
  assert parsed.users() == [visible(user) for user in users] * 2  # Tables 1 and 2
  assert parsed.items[-len(notes) :] == [visible(note) for note in notes]
  assert not parsed.comments == plain.comments == []  # a doctype alone


def test_whole_reports_with_hostile_names(tmp_path):
  """Wherever a name can be: records, curves, predictions, attention, environment, notes."""
  hostile = report_with(
    tmp_path / 'hostile', ATTACKS, '<svg onload=alert(1)> $\\frac$ ☃山\n--> `x`'
  )
  plain = report_with(tmp_path / 'plain', PLAIN, 'x')
  assert hostile.elements == plain.elements
  assert len(hostile.comments) == len(plain.comments) == 1  # the doctype
  assert hostile.users() == [visible(user) for user in ATTACKS] * 2


def report_with(workdir, users, name):
  write(
    workdir,
    arms=('baseline', 'mean_shift', 'fs_ua'),
    all_shots=(1, 5),
    users=users,
    everybody=users,
    clips=3,
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


def test_figures_draw_what_the_font_has(tmp_path):
  """And nothing in a name is a formula."""
  workdir = write(tmp_path, users=['$x$', '山', 'a' * 99], everybody=['$x$', '山', 'a' * 99])
  drawn = {}
  for name, make in report._pictures([workdir], Scores.of(records.read([workdir])), 5).items():
    if (picture := make()) is not None:
      drawn[name] = picture.figure
  labels = [label.get_text() for label in drawn['speakers'].axes[0].get_yticklabels()]
  assert labels == ['$x$', r'\u5c71', 'a' * 37 + '...']
  assert list(itertools.islice((axes.get_title() for axes in drawn['learning'].axes), 2)) == [
    '$x$, seed 0',
    r'\u5c71, seed 0',
  ]
