"""Which differences in MAE are real, whom the arms harmed, and which beat the mean shift."""

from collections.abc import Sequence

import numpy as np

from persona_jax.arms import MEAN_SHIFT, NAMES, WITHOUT_CLIPS
from persona_jax.evaluation import statistics
from persona_jax.evaluation.statistics import Interval
from persona_jax.reporting.arm_comparison import HARM, LEVEL, Comparison, paired, sign
from persona_jax.reporting.explanations import caveat, interval_note
from persona_jax.reporting.markdown import interval, literal, number, p_value, table
from persona_jax.reporting.scores import Scores

HARM_OF_DRAW = 0.1  # MAE by which a draw must make a speaker worse to be counted


def section(scores: Scores, comparisons: Sequence[Comparison]) -> list[str]:
  """Which differences are real, whom the arms harmed, and who beat the mean shift."""
  if not comparisons:
    return []
  header = ['difference', 'MAE', 'p', 'p (Holm)']
  header += ['speakers helped / harmed', f'harmed by > {HARM}', 'worst speaker']
  header += [f'draws worse by > {HARM_OF_DRAW}']
  return [
    '## Which differences in MAE are real',
    _real(comparisons),
    table(header, [_row(comparison) for comparison in comparisons]),
    f'{interval_note(scores)} A speaker is helped or harmed by the mean over seeds and draws.',
    *caveat(scores),
    *_against_mean_shift(scores),
  ]


def _real(comparisons: Sequence[Comparison]) -> str:
  """How many differences are told apart from chance."""
  real = sum(comparison.is_real for comparison in comparisons)
  if real:
    return (
      f'{real} of {len(comparisons)} differences {"is" if real == 1 else "are"} told apart from '
      f'chance, at p (Holm) of at most {LEVEL} (in bold).'
    )
  text = f'No difference is told apart from chance, at p (Holm) of at most {LEVEL}.'
  speakers = max(len(comparison.difference.users) for comparison in comparisons)
  smallest = len(comparisons) * min(1, 2 / 2**speakers)  # all signs alike, or all opposite
  if smallest <= LEVEL:
    return text
  return (
    f'{text} With {speakers} speaker{"s" if speakers > 1 else ""}, no p (Holm) can be so small.'
  )


def _row(comparison: Comparison) -> list[str]:
  return [
    f'**{comparison.name}**' if comparison.is_real else comparison.name,
    interval(comparison.interval, signed=True),
    p_value(comparison.p),
    p_value(comparison.p_holm),
    *_harm(comparison),
  ]


def _harm(comparison: Comparison) -> list[str]:
  """How many were helped, harmed, harmed by much; the worst; the share of draws that harmed."""
  means, draws = comparison.user_means, comparison.difference.table
  defined = ~np.isnan(draws)
  if not defined.any():
    return ['–'] * 4
  worst = int(np.nanargmax(means))
  return [
    f'{(means < 0).sum()} / {(means > 0).sum()}',
    str(comparison.num_harmed),
    f'{literal(comparison.difference.users[worst])} {number(means[worst], signed=True)}',
    f'{np.mean(draws[defined] > HARM_OF_DRAW):.0%}',
  ]


def _against_mean_shift(scores: Scores) -> list[str]:
  """One sentence per arm that had to beat it."""
  arms = scores.arms
  tried = [arm for arm in arms if MEAN_SHIFT in arms and arm not in (*WITHOUT_CLIPS, MEAN_SHIFT)]
  intervals = statistics.bootstraps([paired(scores, 'mae', arm, MEAN_SHIFT).table for arm in tried])
  sentences = [
    f'- {NAMES[arm]} {_verdict(difference)} (MAE {interval(difference, signed=True)}).'
    for arm, difference in zip(tried, intervals, strict=True)
  ]
  return ['\n'.join(sentences)] if sentences else []


def _verdict(difference: Interval) -> str:
  if sign(difference) < 0:
    return 'beats the mean shift'
  return (
    'does not beat the mean shift, so it is not shown to have learned more about a person than an '
    'offset'
  )
