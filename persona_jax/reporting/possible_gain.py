"""For a corpus that was made up: which share of the possible gain each arm wins."""

import numpy as np

from persona_jax.arms import BASELINE, NAMES
from persona_jax.evaluation import statistics
from persona_jax.reporting.explanations import caveat
from persona_jax.reporting.scores import Scores


def section(scores: Scores, corpus: dict) -> list[str]:
  """Nothing for a corpus that does not tell the MAE of knowing every persona."""
  oracle, arms = corpus.get('oracle_mae'), scores.arms
  if not oracle or BASELINE not in arms or len(arms) < 2:
    return []
  best = np.mean([oracle[user] for user in scores.values('mae', BASELINE).users])
  means = {arm: statistics.mean_over_users(scores.values('mae', arm).table) for arm in arms}
  baseline = means.pop(BASELINE)
  shares = [
    f'{NAMES[arm]} {(baseline - mean) / (baseline - best):.0%}' for arm, mean in means.items()
  ]
  return [
    '## Share of the possible gain',
    f'A predictor that knows every persona has MAE {best:.3f} on these users; the baseline has '
    f'{baseline:.3f}. The arms close this share of the gap: {", ".join(shares)}.',
    *caveat(scores),
  ]
