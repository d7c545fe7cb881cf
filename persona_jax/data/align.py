"""Which frames belong to which clip: interval intersection on the video's time line."""

import numpy as np


def valid_intervals(intervals: np.ndarray) -> np.ndarray:
  """[n] bool: the interval is finite and does not end before it starts."""
  return np.isfinite(intervals).all(axis=1) & (intervals[:, 1] >= intervals[:, 0])


def frames_of_clips(clips: np.ndarray, frames: np.ndarray) -> np.ndarray:
  """Says which frames belong to which clips of one video.

  A frame belongs to a clip when their intervals share time. Neighbours that only touch share
  none; but a frame or clip of zero length belongs where it lies, inside the other or on its edge.

  Args:
    clips: [c, 2] start and end, seconds.
    frames: [n, 2] start and end, seconds.

  Returns:
    [c, n] bool.
  """
  start = np.maximum(clips[:, None, 0], frames[None, :, 0])
  end = np.minimum(clips[:, None, 1], frames[None, :, 1])
  instant = (clips[:, 0] == clips[:, 1])[:, None] | (frames[:, 0] == frames[:, 1])[None, :]
  return np.where(instant, end >= start, end > start)
