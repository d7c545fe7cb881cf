"""The posterior of a person: how that person feels and expresses it, from a few labelled clips.

The model of a clip x of person u, given the predictor f that all people share, is

  y ~ h(y) exp(theta_u y) / Z(theta_u)         the label part: how positive u's clips are
  f(x) | y ~ N(a + o_u + (b + g_u) y, s2)      the expression part: how u's sentiment shows

The label part is `persona_jax.persona.labels`. The offset o_u and the gain g_u are random effects
(`persona_jax.persona.effects`). The sentiment of a clip is the posterior of y given f(x) and the
labelled clips of u, computed on a grid of y. For a given y, f(x) is Gaussian with o_u and g_u
integrated out, so the grid is the only approximation.

Clips that were chosen by their labels, for example all of one sign, are not informative about the
mean of u's labels, but p(f | y) is unaffected (Prentice and Pyke 1979, "Logistic disease incidence
models and case-control studies", Biometrika 66). Only the expression part learns from such clips.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from persona_jax.persona import effects
from persona_jax.persona import labels as label_part
from persona_jax.persona.effects import Coefficients, Effects, Evidence
from persona_jax.persona.labels import GRID, LIMIT, LabelPrior, Labels
from persona_jax.types import Array


class Prior(NamedTuple):
  """How people differ.

  Attributes:
    label: h and the deviation of theta_u.
    expression: means a and b, variances of o_u and g_u, and noise s2; num_features is 2.
  """

  label: LabelPrior
  expression: Effects


class Persona(NamedTuple):
  """What is stored of a person: 10 numbers. Those of disjoint sets of clips add up.

  Attributes:
    label: statistics of the clips that were not chosen by their labels.
    expression: evidence of all clips; num_features is 2.
  """

  label: Labels
  expression: Evidence


def nobody() -> Persona:
  """A person without labelled clips, for whom the prediction is only calibrated."""
  return Persona(label_part.no_labels(), effects.no_evidence(2))


def observe(
  predictions: Array, labels: Array, weights: Array, chosen: Array | bool = False
) -> Persona:
  """The statistics of K labelled clips of one person.

  `effects.add` adds them to those of other clips, and `effects.remove` removes them.

  Args:
    predictions: [K] f, by the predictor that all people share.
    labels: [K] y.
    weights: [K] 1 for a clip, 0 for padding.
    chosen: [] or [K] bool, whether the clips were chosen by their labels.
  """
  ones = jnp.ones_like(labels)
  return Persona(
    label_part.observe(labels, weights * (1 - jnp.asarray(chosen, jnp.float32))),
    effects.evidence(jnp.stack([ones, labels], axis=1), predictions, weights),
  )


class Sentiment(NamedTuple):
  """Summaries of the posterior of each clip's sentiment, [n] each, within -3 and 3.

  Attributes:
    mean: the posterior mean.
    median: the posterior median, which minimises the expected absolute error.
    lower, upper: the central 90 % interval.
  """

  mean: Array
  median: Array
  lower: Array
  upper: Array


def log_density(prior: Prior, persona: Persona, predictions: Array) -> jax.Array:
  """log p(y | f(x), the person) on `GRID`, up to a constant: [n, num_points].

  Args:
    predictions: [n] f of the person's clips whose sentiment is predicted.
  """
  shown = effects.posterior(prior.expression, persona.expression)
  return label_part.log_density(prior.label, persona.label) + log_likelihood(
    prior, shown, predictions
  )


def log_likelihood(prior: Prior, shown: Coefficients, predictions: Array) -> jax.Array:
  """log p(f(x) | y, the person) for y on `GRID`, up to a constant: [n, num_points].

  Args:
    prior: how people differ.
    shown: the posterior of the person's offset and gain.
    predictions: [n] f.
  """
  # f | y ~ N(mean, spread), with a mean linear in y and a spread quadratic in y.
  (oo, og), (_, gg) = shown.covariance
  mean = shown.mean[0] + shown.mean[1] * GRID
  spread = prior.expression.noise + oo + 2 * og * GRID + gg * GRID**2
  return -0.5 * ((predictions[:, None] - mean) ** 2 / spread + jnp.log(spread))


def sentiment(prior: Prior, persona: Persona, predictions: Array) -> Sentiment:
  """The sentiment of the person's clips with `predictions` [n]."""
  return summarised(jax.nn.softmax(log_density(prior, persona, predictions)))


@jax.default_matmul_precision('float32')
def summarised(density: Array) -> Sentiment:
  """Summarises densities on `GRID`, given as probabilities [n, num_points]."""
  lower, median, upper = (_quantile(density, level) for level in (0.05, 0.5, 0.95))
  return Sentiment(
    *(jnp.clip(value, -LIMIT, LIMIT) for value in (density @ GRID, median, lower, upper))
  )


def _quantile(density: Array, level: float) -> jax.Array:
  """The quantile of each density: [n].

  The probability of a point is spread evenly over its cell, which extends half a step to each side.
  """
  reached = jnp.cumsum(density, axis=1)
  place = jnp.argmax(reached >= level, axis=1)[:, None]
  before, at = (jnp.take_along_axis(x, place, axis=1)[:, 0] for x in (reached - density, density))
  cell = GRID[1] - GRID[0]
  return jnp.asarray(GRID)[place[:, 0]] + cell * ((level - before) / at - 0.5)
