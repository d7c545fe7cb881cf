"""What to look at: clips whose labels surprise, and clips that would be worth a label."""

import jax
import jax.numpy as jnp
import numpy as np

from persona_jax.persona import arms, effects, residual
from persona_jax.persona.arms import Priors
from persona_jax.persona.labels import GRID
from persona_jax.predictor.person import Person
from persona_jax.predictor.predictor import Predictor
from persona_jax.types import Array, Clips

SURPRISE = 0.01  # probability of a label at least as far out, below which it is a surprise


def surprising(predictor: Predictor, person: Person) -> np.ndarray:
  """Which clips have a label that the person's other clips speak against: [K] bool.

  Such a label may be wrong, or the person may have changed. One label in a hundred is a surprise by
  chance.
  """
  if not person.num_clips:
    return np.zeros(0, bool)
  rows = (person.predictions, person.components, person.labels, person.chosen)
  return np.asarray(_tails(predictor.fitted_priors, *rows)) < SURPRISE


@jax.jit
def _tails(
  priors: Priors, predictions: Array, components: Array, labels: Array, chosen: Array
) -> jax.Array:
  """The two-sided probability of each label [K], given the other clips of the person."""
  phi = residual.joined(predictions, components)
  others = 1 - jnp.eye(len(labels))

  def tail(own, label, weights):
    person = arms.observe_components(predictions, components, labels, weights, chosen)
    (density,) = arms.bayes(priors, arms.known(priors, person), own[None])
    below = jnp.where(label >= GRID, density, 0).sum()
    above = jnp.where(label <= GRID, density, 0).sum()
    return 2 * jnp.minimum(jnp.minimum(below, above), 0.5)

  return jax.vmap(tail)(phi, jnp.asarray(labels), others)


def worth_a_label(predictor: Predictor, person: Person, clips: Clips, count: int) -> np.ndarray:
  """The places [count] of the unlabelled clips that would narrow the posterior most, best first.

  Each time, it is the clip whose residual is least certain, given those chosen before: the greedy
  choice of D-optimal design. A narrow posterior is not a small error: on CMU-MOSI, three such clips
  lower the error no more than three random ones do (launch/README.md).
  """
  predictions, components = predictor.features(clips)
  phi = np.asarray(residual.joined(predictions, components), np.float64)
  seen = arms.observe_components(
    person.predictions,
    person.components,
    person.labels,
    np.ones(person.num_clips, np.float32),
    person.chosen,
  )
  prior = predictor.fitted_priors.residual.effects
  covariance = np.asarray(effects.posterior(prior, seen.residual).covariance, np.float64)
  return most_informative(phi, covariance, float(prior.noise), count)


def most_informative(
  phi: np.ndarray, covariance: np.ndarray, noise: float, count: int
) -> np.ndarray:
  """The greedy choice of `worth_a_label`, as places [count] in the order in which they are chosen.

  Args:
    phi: [n, num_features] of clips.
    covariance: [num_features, num_features] of what is not known yet of the person's coefficients.
    noise: variance of a label around what they say.
    count: how many to choose; all, where there are fewer.
  """
  chosen: list[int] = []
  for _ in range(min(count, len(phi))):
    spread = np.einsum('nq,qp,np->n', phi, covariance, phi)
    spread[chosen] = -1
    best = int(spread.argmax())
    chosen.append(best)
    gain = covariance @ phi[best]
    covariance = covariance - np.outer(gain, gain) / (noise + phi[best] @ gain)
  return np.array(chosen, int)
