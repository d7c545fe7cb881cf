"""Fits how people differ to the other speakers of a fold."""

import numpy as np

from persona_jax.persona import fit
from persona_jax.persona import labels as label_part
from persona_jax.persona.effects import Effects
from persona_jax.persona.posterior import Prior
from persona_jax.types import Array

# The start of the fit and the centre of its weak priors, in the unit of the labels.
_EXPRESSION = Effects(np.array([0.0, 0.5]), np.array([0.1, 0.03]), np.array(1.0))


def fit_prior(
  predictions: Array, labels: Array, speakers: Array, train: Array, unseen: Array
) -> Prior:
  """Fits the label part on all given speakers, and the expression part on unseen speakers.

  Predictions are closer to the labels for speakers that the predictor was trained on, so how
  predictions depend on labels is fitted on unseen speakers only. The label part does not use
  predictions, so it is fitted on training speakers too.

  Args:
    predictions: [N] of every clip, by the fold's predictor.
    labels: [N].
    speakers: [N].
    train: [n] indices of the clips that the predictor was trained on.
    unseen: [n] indices of clips for the expression part, such as the fold's validation clips. Clips
      of speakers who also have clips in `train` are left out. Neither `train` nor `unseen` may
      contain clips of held-out users.

  Raises:
    UserError: there are too few unseen speakers, or a prediction or label is not finite.
  """
  speakers, labels, predictions = (np.asarray(x) for x in (speakers, labels, predictions))
  unseen = fit.unseen_clips(speakers, train, unseen)
  known = np.concatenate([np.asarray(train), unseen])
  label = label_part.fit_labels(
    labels[known], fit.enough_speakers(speakers[known], 'training and validation')
  )
  features = np.stack([np.ones(len(unseen)), labels[unseen]], axis=1)
  expression = fit.fit(
    features,
    predictions[unseen],
    fit.enough_speakers(speakers[unseen], 'validation'),
    _EXPRESSION,
    (0, 1),
  )
  return Prior(label, expression)
