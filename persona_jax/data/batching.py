"""Index arrays of one common shape, so that folds and epochs share a compiled program."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Indices(NamedTuple):
  """Padded clip indices.

  Attributes:
    clips: [..., n] int32, indices into the corpus; 0 where padded.
    weights: [..., n] float32, 1 for a clip and 0 for padding.
  """

  clips: np.ndarray
  weights: np.ndarray


def pad(indices: np.ndarray, length: int) -> Indices:
  """Pads [n] indices to [length]."""
  clips = np.zeros(length, np.int32)
  clips[: len(indices)] = indices
  return Indices(clips, (np.arange(length) < len(indices)).astype(np.float32))


def places_among(own: np.ndarray, indices: np.ndarray) -> np.ndarray:
  """The places [..., n] int32 of `indices` in `own`, sorted; of what is not there, any place.

  Padding may be of a clip that is not there, and does not count.
  """
  return np.searchsorted(own, indices).clip(max=max(len(own) - 1, 0)).astype(np.int32)


def stack(parts: Sequence[Indices]) -> Indices:
  """Stacks equal shapes on a new leading axis."""
  return Indices(np.stack([p.clips for p in parts]), np.stack([p.weights for p in parts]))


def num_batches(num_clips: int, batch_size: int) -> int:
  return -(-num_clips // batch_size)


def split(order: np.ndarray, batches: int, batch_size: int) -> Indices:
  """Splits an epoch's order [n] into `batches` of nearly equal size, padded: [batches, batch_size].

  Folds leave out different numbers of clips, yet all must take equally many steps to share one
  program; an even split does that without empty steps or a noisy last batch of two clips.
  """
  return stack([pad(part, batch_size) for part in np.array_split(order, batches)])
