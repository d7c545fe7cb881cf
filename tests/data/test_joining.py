"""Frames that wait in blocks for their joining."""

import numpy as np
import pytest

from persona_jax.data import joining


@pytest.mark.parametrize('rows', [1, 3, 4, 100])
@pytest.mark.parametrize('dtype', [np.float32, np.float16])
def test_clips_go_on_from_block_to_block(monkeypatch, rows, dtype):
  """Clips shorter and longer than a block, empty ones, and a last block that is not full."""
  monkeypatch.setattr(joining, '_BLOCK', rows * 2 * np.dtype(dtype).itemsize)
  lengths = [2, 0, 5, 1, 9, 0]
  expected = np.arange(2 * sum(lengths)).reshape(-1, 2)
  joiner = joining.Joiner(2, dtype)
  for clip in np.split(expected, np.cumsum(lengths)[:-1]):
    joiner.add(clip)
  assert joiner.lengths == lengths
  found = joiner.joined()
  np.testing.assert_array_equal(found, expected)
  assert found.dtype == dtype


def test_what_is_added_is_copied():
  joiner, frames = joining.Joiner(1), np.ones((2, 1), np.float32)
  joiner.add(frames)
  frames[:] = 7
  np.testing.assert_array_equal(joiner.joined(), [[1], [1]])


def test_no_frames_are_one_row_of_zeros():
  joiner = joining.Joiner(3)
  joiner.add(np.zeros((0, 3)))
  np.testing.assert_array_equal(joiner.joined(), np.zeros((1, 3)))
