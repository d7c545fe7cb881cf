"""Batches of a few sizes, so that a stream of odd ones compiles a handful of programs."""

import math
from collections.abc import Mapping

import numpy as np

from persona_jax.types import Array, Clips

SMALLEST, LARGEST = 8, 1024  # clips of a program; other numbers are padded to a power of two
SHORTEST = 1 / 8  # of a program's sequences, as a share of the steps in training


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


def padded(clips: Clips, size: int, trained: Mapping[str, int], least: float = SHORTEST) -> Clips:
  """Pads clips to `size`, and sequences to a few lengths; padding is masked.

  All modalities have the same share of the steps in training, a power of two: so their lengths
  make few programs, whatever lengths meet.

  Args:
    clips: [n] of any lengths.
    size: at least n.
    trained: {modality: T_m} steps in training.
    least: the smallest share.
  """
  found = {m: x.shape[1] for m, x in clips.sequences.items()}
  share = least
  while any(steps > math.ceil(share * trained[m]) for m, steps in found.items()):
    share *= 2

  def pad(modality, x):
    more = math.ceil(share * trained[modality]) - x.shape[1]
    return np.pad(x, [(0, size - len(x)), (0, more)] + [(0, 0)] * (x.ndim - 2))

  sequences: dict[str, Array] = {m: pad(m, np.asarray(x)) for m, x in clips.sequences.items()}
  return Clips(sequences, {m: pad(m, np.asarray(x)) for m, x in clips.masks.items()})
