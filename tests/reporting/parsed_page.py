"""What a page consists of: its elements, their attributes, and the text of some."""

import collections
import html.parser
import re

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
