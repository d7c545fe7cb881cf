"""A prior and simulated people, shared by the tests of this folder."""

import numpy as np

from persona_jax.persona.effects import Effects
from persona_jax.persona.labels import GRID, LabelPrior
from persona_jax.persona.posterior import Prior

# Symmetric, but not Gaussian.
BASE = np.exp(-0.5 * GRID.astype(float) ** 2 / 1.8) + 0.05 * np.abs(GRID)
BASE /= BASE.sum()
PRIOR = Prior(
  LabelPrior(np.log(BASE).astype(np.float32), np.float32(0.4)),
  Effects(np.float32([0.09, 0.6]), np.float32([0.12, 0.04]), np.float32(0.96)),
)


def labels_of(
  random: np.random.Generator, num_people: int, num_clips: int, prior: LabelPrior = PRIOR.label
) -> np.ndarray:
  """Draws labels [num_people, num_clips] from the label part."""
  tilts = random.normal(0, prior.deviation, num_people)
  density = np.exp(prior.log_base + tilts[:, None] * GRID)
  levels = np.cumsum(density / density.sum(axis=1, keepdims=True), axis=1)
  places = [np.searchsorted(row[:-1], random.random(num_clips)) for row in levels]
  return GRID[np.array(places)]


def predictions_of(
  random: np.random.Generator, labels: np.ndarray, expression: Effects = PRIOR.expression
) -> np.ndarray:
  """Draws predictions [num_people, num_clips] from the expression part."""
  own = random.normal(expression.mean, expression.variance**0.5, (len(labels), 2))
  noise = random.normal(0, expression.noise**0.5, labels.shape)
  return (own[:, :1] + own[:, 1:] * labels + noise).astype(np.float32)
