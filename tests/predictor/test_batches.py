"""Batches of odd sizes and lengths."""

import numpy as np
from strangers import assert_alike, clips_of

from persona_jax.predictor import batches


def test_more_clips_than_one_program_holds(predictor, strangers, monkeypatch):
  clips = clips_of(strangers, np.arange(40))
  whole = predictor.predict(clips)
  monkeypatch.setattr(batches, 'LARGEST', 16)
  assert_alike(predictor.predict(clips), whole)
