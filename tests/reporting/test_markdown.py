import markdown_it
import pytest
from rich import console
from rich import markdown as rich_markdown

from persona_jax.evaluation.statistics import Interval
from persona_jax.reporting import markdown


def test_words_are_listed():
  assert [markdown.listed(words) for words in ('', 'a', 'ab', 'abc')] == [
    '',
    'a',
    'a and b',
    'a, b and c',
  ]


def test_numbers_and_intervals():
  assert [markdown.number(value) for value in (None, float('nan'), -0.0004, 1 / 3)] == [
    '–',
    '–',
    '0.000',
    '0.333',
  ]
  assert [markdown.number(value, signed=True) for value in (-0.0004, 0.5, -2)] == [
    '+0.000',
    '+0.500',
    '-2.000',
  ]
  assert markdown.interval(Interval(0.1, -0.2, 0.4, 0), signed=True) == '+0.100 [-0.200, +0.400]'
  assert markdown.interval(Interval(0.1, 0, 0.4, 3)) == '0.100 [0.000, 0.400] (3 undefined)'


def test_ordinary_names_stay_as_they_are():
  for name in (
    'speaker_01',
    'Zoë',
    '03bSnISJMrM',
    'jax 0.10.2',
    'AMD EPYC, 2 x cpu',
    'runs/demo',
    '山田',
    '-1',
  ):
    assert markdown.literal(name) == name


def test_what_acts_is_escaped():
  assert markdown.literal('a|b') == r'a\|b'
  assert markdown.literal('_x_ snake_case') == r'\_x\_ snake_case'
  assert markdown.literal('<b>&lt;') == r'\<b\>\&lt;'
  assert markdown.literal(' x ') == '&#32;x&#32;' and markdown.literal('  ') == '&#32;&#32;'
  assert markdown.literal('1. one') == r'1\. one'


def test_what_cannot_be_seen_is_shown():
  assert markdown.visible('a\nb\x1b[31m\u200b\u202e\r\ud800\xa0') == (
    r'a\nb\x1b[31m\u200b\u202e\r\ud800\xa0'
  )


@pytest.mark.parametrize(
  'name',
  [
    '- a',
    '+ a',
    '* a',
    '# a',
    '> a',
    '1) a',
    '---',
    '```',
    '~~~',
    '    a',
    '[a]: b',
    '`a`',
    '![a](b)',
    '<a@b.c>',
    'a #',
    '\\|',
    '&amp;',
    '***',
  ],
)
def test_anywhere_in_a_document_it_is_text(name):
  literal = markdown.literal(name)
  text = '\n\n'.join(
    [f'# {literal}', f'- {literal}\n- {literal}', literal, markdown.table(['x'], [[literal]])]
  )
  html = markdown_it.MarkdownIt('commonmark').enable('table').render(text)
  shown = name.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')
  assert html == (
    f'<h1>{shown}</h1>\n<ul>\n<li>{shown}</li>\n<li>{shown}</li>\n</ul>\n<p>{shown}</p>\n'
    '<table>\n<thead>\n<tr>\n<th>x</th>\n</tr>\n</thead>\n'
    f'<tbody>\n<tr>\n<td>{shown}</td>\n</tr>\n</tbody>\n</table>\n'
  )


def test_a_terminal_shows_it_too():
  out = console.Console(width=60)
  with out.capture() as captured:
    out.print(rich_markdown.Markdown(f'by {markdown.literal("a|b [red]c[/red] *d* http://x")}.'))
  assert captured.get().strip() == 'by a|b [red]c[/red] *d* http://x.'
