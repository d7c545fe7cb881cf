"""What a new person may expect of a predictor, from the speakers who validated it.

Nothing of the model is trained on these speakers, but they chose the epoch. So that they are new to
what is known of how people differ, that is learned without them: for each of a few groups of them,
from the others.
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
_DRAWS, _GROUPS = 10, 4  # of support clips per speaker, and of speakers


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
  groups = [names[number::_GROUPS] for number in range(_GROUPS)]
  enough, scored = names[counts >= fit.MIN_CLIPS], names[counts >= num_support + MIN_QUERY]
  fewest = min(len(np.setdiff1d(enough, group)) for group in groups)
  if fewest < fit.MIN_SPEAKERS or not len(scored):
    return None
  errors = []
  for group in groups:
    others = unseen[~np.isin(speakers[unseen], group)]
    priors = arms.fit(predictions, read, labels, speakers, train, others)
    for name in np.intersect1d(group, scored):
      own = unseen[speakers[unseen] == name]
      z = np.asarray(residual.components(priors.residual.reading, read[own]))
      rows = predictions[own], z, labels[own]
      errors.append(_errors(priors, rows, num_support, counts.max()))
  mae = np.mean(errors, axis=0)
  return dict(
    num_speakers=len(scored),
    num_support=num_support,
    mae={NAMES[arm]: round(float(error), 4) for arm, error in zip(ARMS, mae, strict=True)},
  )


def _errors(
  priors: Priors, rows: tuple[np.ndarray, ...], num_support: int, padded: int
) -> np.ndarray:
  """Mean absolute errors [3] of a speaker by each of `ARMS`, over draws of support clips.

  Args:
    priors: how other people differ.
    rows: predictions, components and labels of the speaker's clips.
    num_support: clips of a draw whose labels are known; the others are scored.
    padded: at least the number of clips.
  """
  labels, errors = rows[-1], []
  for draw in range(_DRAWS):
    order = np.random.default_rng(draw).permutation(len(labels))
    arrays = [_padded(array, padded) for array in rows]
    found = np.asarray(_means(priors, *arrays, order[:num_support]))[:, : len(labels)]
    errors.append(np.abs(found - labels)[:, order[num_support:]].mean(axis=1))
  return np.mean(errors, axis=0)


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
