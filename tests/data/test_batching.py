import numpy as np

from persona_jax.data import batching


def test_padding_has_no_weight():
  padded = batching.pad(np.array([7, 5]), 4)
  np.testing.assert_array_equal(padded.clips, [7, 5, 0, 0])
  np.testing.assert_array_equal(padded.weights, [1, 1, 0, 0])


def test_batches_are_even_and_hold_every_clip_once():
  batches = batching.split(np.arange(100, 110), 3, 4)
  assert batches.clips.shape == (3, 4)
  np.testing.assert_array_equal(batches.weights.sum(axis=1), [4, 3, 3])
  assert sorted(batches.clips[batches.weights == 1]) == list(range(100, 110))
