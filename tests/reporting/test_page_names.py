"""The page shows every name, and no name acts: no element, no attribute, no request is a name's."""

import functools
import pathlib
import re
import warnings

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from parsed_page import ELEMENTS, WHOLE, Parsed
from studies import CONFIG, ENVIRONMENT, GROUPED, of_mae, write

from persona_jax import files
from persona_jax.reporting import page, records, report, run_comparison
from persona_jax.reporting.markdown import visible
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


def test_runs_of_hostile_folders_are_compared_as_text(tmp_path):
  one, two = (write(tmp_path / name) for name in ('a|b <b>', '![](x)\n# y'))
  rows = [line for line in run_comparison.compare([one, two]).splitlines() if line.startswith('| ')]
  bars = {len(re.findall(r'(?<!\\)\|', row)) for row in rows}
  assert bars == {8} and r'a\|b \<b\>' in rows[0] and r'!\[\](x)\\n\# y' in rows[0]
