"""Clips and labels that cannot be used, each with one clear sentence."""

import numpy as np
import pytest
from strangers import clips_of

from persona_jax.errors import UserError
from persona_jax.types import Clips


@pytest.mark.parametrize(
  'change, said',
  [
    (lambda clips, labels: (clips, labels[:-1]), r'labels of shape \[2\]: expected one per clip'),
    (lambda clips, labels: (clips, labels * np.nan), 'clip 0: label nan, expected -3 to 3'),
    (lambda clips, labels: (clips, labels + 9), 'expected -3 to 3'),
    (lambda clips, labels: (Clips({}, {}), labels), 'no language; where a clip lacks it, give a'),
    (
      lambda clips, labels: (
        Clips({'language': clips.sequences['language'][..., :2]}, clips.masks),
        labels,
      ),
      r'language of shape \[3, .*expected \[clips, steps, 13\]',
    ),
    (
      lambda clips, labels: (
        Clips({m: x * np.nan for m, x in clips.sequences.items()}, clips.masks),
        labels,
      ),
      'a value of language is not finite',
    ),
  ],
)
def test_clips_and_labels_that_cannot_be_used(change, said, predictor, strangers):
  places = np.arange(3)
  with pytest.raises(UserError, match=said):
    predictor.adapt(*change(clips_of(strangers, places), strangers.labels[places]))
