"""What a new person may expect of a predictor, from the speakers who validated it.

Nothing of the model is trained on these speakers, but they chose the epoch. So that they are new to
what is known of how people differ, that is learned for each of them from the others alone.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from persona_jax.arms import BASELINE, CALIBRATED, NAMES
from persona_jax.data.folds import MIN_QUERY
from persona_jax.persona import arms, fit, posterior, residual
from persona_jax.persona.arms import Priors
from persona_jax.types import Array

ARMS = (BASELINE, CALIBRATED, arms.BAYES)  # what a predictor can do, without and with clips
_DRAWS = 10  # of support clips per speaker


def scores(
  predictions: Array,
  read: Array,
  labels: Array,
  speakers: Array,
  train: Array,
  valid: Array,
  num_support: int,
) -> dict[str, Any] | None:
  """Mean absolute errors over validation speakers, before and after they give labelled clips.

  Args:
    predictions, read, labels, speakers, train: as of `persona_jax.persona.arms.fit`.
    valid: [n] the validation clips.
    num_support: labelled clips per speaker; the others are predicted.

  Returns:
    num_speakers, num_support and {name of an arm: error}, as plain JSON; None where there are too
    few speakers.
  """
  predictions, read, labels, speakers = (
    np.asarray(x) for x in (predictions, read, labels, speakers)
  )
  unseen = fit.unseen_clips(speakers, train, valid)
  names, counts = np.unique(speakers[unseen], return_counts=True)
  scored = names[counts >= num_support + MIN_QUERY]
  if not len(scored) or (counts >= fit.MIN_CLIPS).sum() <= fit.MIN_SPEAKERS:
    return None
  errors = []
  for number, name in enumerate(scored):
    others, own = unseen[speakers[unseen] != name], unseen[speakers[unseen] == name]
    priors = arms.fit(predictions, read, labels, speakers, train, others)
    z = np.asarray(residual.components(priors.residual.reading, read[own]))
    rows = [_padded(x, counts.max()) for x in (predictions[own], z, labels[own])]
    for draw in range(_DRAWS):
      order = np.random.default_rng([number, draw]).permutation(len(own))
      found = np.asarray(_means(priors, *rows, order[:num_support]))[:, : len(own)]
      errors.append(np.abs(found - labels[own])[:, order[num_support:]].mean(axis=1))
  mae = np.mean(errors, axis=0)  # every speaker has as many draws
  return dict(
    num_speakers=len(scored),
    num_support=num_support,
    mae={NAMES[arm]: round(float(error), 4) for arm, error in zip(ARMS, mae, strict=True)},
  )


def _padded(rows: np.ndarray, count: int) -> np.ndarray:
  """Rows [n, ...] with zeros to [count, ...], so that one program serves all speakers."""
  return np.pad(rows, [(0, count - len(rows))] + [(0, 0)] * (rows.ndim - 1))


@jax.jit
def _means(
  priors: Priors, predictions: Array, components: Array, labels: Array, support: Array
) -> jax.Array:
  """Predictions of one person's clips by each of `ARMS`: [3, n].

  Args:
    priors: how other people differ.
    predictions, labels: [n].
    components: [n, num_components] of what the head reads.
    support: [K] places of the clips whose labels are known.
  """
  phi, everybody = residual.joined(predictions, components), arms.nobody(priors)
  person = arms.observe_components(
    predictions[support], components[support], labels[support], jnp.ones(len(support))
  )

  def mean(known):
    return posterior.summarised(arms.bayes(priors, arms.known(priors, known), phi)).mean

  return jnp.stack([predictions, mean(everybody), mean(person)])
