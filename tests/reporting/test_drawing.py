import xml.etree.ElementTree

from persona_jax.arms import ARMS
from persona_jax.reporting import drawing
from persona_jax.reporting.drawing import Picture


def test_arms_are_told_apart_without_colour_too():
  styles = [drawing.style(arm) for arm in ARMS]
  for fields in (
    ['marker', 'markerfacecolor'],
    ['label'],
    ['color', 'linestyle', 'linewidth'],
  ):
    assert len({tuple(style.get(field) for field in fields) for style in styles}) == len(ARMS)


def test_names_are_drawn_as_the_font_can():
  assert drawing.drawable('$x$') == '$x$'
  assert drawing.drawable('山\n') == r'\u5c71\n'
  assert drawing.drawable('a' * 40) == 'a' * 40
  assert drawing.drawable('a' * 41) == 'a' * 37 + '...'


def test_what_there_is_data_for_is_written(tmp_path):
  def picture():
    figure, axes = drawing.subplots()
    axes.set_title('<b> $\\frac$ -->')
    return Picture(figure, 'A caption.')

  captions = drawing.write(tmp_path, {'one': picture, 'two': lambda: None})
  assert captions == {'one': 'A caption.'}
  (path,) = (tmp_path / 'figures').iterdir()
  assert xml.etree.ElementTree.parse(path).getroot().tag.endswith('svg')
  assert '<!--' not in path.read_text()
