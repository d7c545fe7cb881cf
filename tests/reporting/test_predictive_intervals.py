"""Coverage of the predictive intervals, by numbers made by hand."""

import pytest
from studies import of_mae, of_maes

from persona_jax.reporting import predictive_intervals
from persona_jax.reporting.document import Figures
from persona_jax.reporting.scores import Scores


def of_coverage(**coverage):
  """{arm: [users][draws] coverage}."""
  return Scores.of(
    of_mae('abcdefghij'[number], arm, draw, 1, coverage=share)
    for arm, users in coverage.items()
    for number, draws in enumerate(users)
    for draw, share in enumerate(draws)
  )


def section(scores):
  return predictive_intervals.section(scores, Figures({}))


def test_coverage_is_the_mean_over_users_and_low_users_are_counted():
  """Means over draws are .75, .85, 1 and 1: .9 in the mean, one of four users under .8."""
  title, beside = section(of_coverage(bayes=[(0.5, 1), (0.9, 0.8), (1, 1), (1, 1)]))
  assert title == '## Predictive intervals'
  text, table, note = beside.text.split('\n\n')
  assert text == (
    'Coverage is the share of query labels within the 90% interval that an arm predicts for them, '
    'the mean over users. The goal is 0.87 to 0.93. The one arm meets it.'
  )
  header, _, row = table.splitlines()
  assert header == '| arm | coverage | users with coverage under 0.8 |'
  assert row.startswith('| Bayes | 0.900 [') and row.endswith('] | 25% (1 of 4) |')
  assert note.endswith('over 4 users, 1 seed and 2 draws.')


def test_users_that_are_alike_have_one_coverage():
  _, beside = section(of_coverage(bayes=[(0.8,)] * 3))
  assert '| Bayes | 0.800 [0.800, 0.800] | 0% (0 of 3) |' in beside.text
  assert 'The one arm does not meet it.' in beside.text


@pytest.mark.parametrize(
  'shares, told', [((0.87, 0.93), '2 of 2 arms meet it.'), ((0.8694, 0.8696), '1 of 2 arms meets')]
)
def test_the_goal_is_met_by_what_is_printed(shares, told):
  bayes, joint = ([(share,)] for share in shares)
  _, beside = section(of_coverage(joint=joint, bayes=bayes))
  assert told in beside.text


def test_arms_without_intervals_have_no_row():
  scores = Scores.of(
    [of_mae('a', 'fs_ua', 0, 1), of_mae('a', 'bayes', 0, 1, coverage=0.9)],
  )
  _, beside = section(scores)
  assert '| Bayes |' in beside.text and 'FS-UA' not in beside.text
  assert section(of_maes(baseline=[1], fs_ua=[1])) == section(Scores.of([])) == []
