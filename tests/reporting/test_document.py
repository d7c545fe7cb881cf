from persona_jax.reporting.document import Beside, Figures, Folded, as_markdown


def test_parts_as_markdown():
  text = as_markdown(
    [
      Beside('# A', Figures({'one': 'First.'})),
      Figures({'two': 'Second [1].', 'three': 'Third.'}),
      Folded('3 users < 4', '| a |\n| --- |'),
      Figures({}),
      'The end.',
    ]
  )
  assert text == (
    '# A\n\n![First.](figures/one.svg)\n\n![Second \\[1\\].](figures/two.svg)\n\n'
    '![Third.](figures/three.svg)\n\n<details>\n<summary>3 users &lt; 4</summary>\n\n'
    '| a |\n| --- |\n\n</details>\n\nThe end.\n'
  )
