import numpy as np

from persona_jax.data import align


def test_frames_belong_where_time_is_shared():
  clips = np.array([[0.0, 2.0], [2.0, 4.0], [3.0, 5.0], [4.0, 4.0]])
  frames = np.array([[0.0, 1.0], [1.5, 2.5], [2.0, 3.0], [4.0, 4.0], [4.0, 6.0], [7.0, 8.0]])
  expected = np.array(
    [
      [1, 1, 0, 0, 0, 0],  # 2..3 only touches 0..2
      [0, 1, 1, 1, 0, 0],  # the instant frame at 4 lies on the edge; 4..6 only touches
      [0, 0, 0, 1, 1, 0],
      [0, 0, 0, 1, 1, 0],
    ]
  )  # an instant clip has the frames it lies in or on
  np.testing.assert_array_equal(align.frames_of_clips(clips, frames), expected)


def test_invalid_intervals_are_told():
  intervals = np.array([[0, 1], [1, 1], [2, 1], [np.nan, 1], [0, np.inf]])
  np.testing.assert_array_equal(align.valid_intervals(intervals), [True, True, False, False, False])
