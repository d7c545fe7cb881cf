"""Batches of a few sizes, so that a stream of odd ones compiles a handful of programs."""

from collections.abc import Callable

import numpy as np

from persona_jax.types import Array, Clips

SMALLEST, LARGEST = 8, 1024  # clips of a program; other numbers are padded to a power of two


def content(clips: Clips, place: int) -> bytes:
  """The valid frames of a clip, which stand for its name."""
  return b''.join(
    modality.encode()
    + np.asarray(x[place], np.float32)[np.asarray(clips.masks[modality][place])].tobytes()
    for modality, x in sorted(clips.sequences.items())
  )


def bucket(count: int) -> int:
  """The size of a program for so many clips: a power of two."""
  return max(SMALLEST, 1 << max(0, count - 1).bit_length())


def parts(count: int) -> list[np.ndarray]:
  """The places of clips that one call holds, in order."""
  return [np.arange(start, min(start + LARGEST, count)) for start in range(0, count, LARGEST)]


def padded(clips: Clips, size: int) -> Clips:
  """Pads clips to `size`, and steps to a power of two; padding is masked."""

  def pad(x):
    steps = max(1, x.shape[1])
    more = (1 << (steps - 1).bit_length()) - x.shape[1]
    return np.pad(x, [(0, size - len(x)), (0, more)] + [(0, 0)] * (x.ndim - 2))

  return _mapped(clips, pad)


def _mapped(clips: Clips, function: Callable[[np.ndarray], np.ndarray]) -> Clips:
  """Clips with `function` of every sequence and mask."""
  sequences: dict[str, Array] = {m: function(np.asarray(x)) for m, x in clips.sequences.items()}
  masks: dict[str, Array] = {m: function(np.asarray(x)) for m, x in clips.masks.items()}
  return Clips(sequences, masks)
