from persona_jax.evaluation.statistics import Interval
from persona_jax.reporting import markdown


def test_numbers_and_intervals():
  assert [markdown.number(value) for value in (None, float('nan'), -0.0004, 1 / 3)] == [
      '–', '–', '0.000', '0.333']
  assert [markdown.number(value, signed=True) for value in (-0.0004, 0.5, -2)] == [
      '+0.000', '+0.500', '-2.000']
  assert markdown.interval(Interval(0.1, -0.2, 0.4, 0), signed=True) == '+0.100 [-0.200, +0.400]'
  assert markdown.interval(Interval(0.1, 0, 0.4, 3)) == '0.100 [0.000, 0.400] (3 undefined)'
