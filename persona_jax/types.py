"""The shape legend, and the containers that cross module borders.

Shapes are written in square brackets with these letters, everywhere in the package:

  N   clips of the corpus          B   clips of a batch
  V   validation clips             M   modalities
  T   steps of a sequence (T_m of modality m, T_q of queries, T_k of keys)
  D   width of a feature (D_m of modality m)
  E   width of the model           H   attention heads, each C = E / H wide
  P   learnable tokens (prompt length) per modality
  F   folds
  U   users                        S   seeds
  R   draws of a support set       K   support clips (shots)
  Q   query clips

A small n is a length that only its docstring needs; other axes are spelled out, as in
[num_batches, B].

Sentiment is in the corpus's own unit, -3 (strongly negative) to 3 (strongly positive).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
  import jax

  Array: TypeAlias = np.ndarray | jax.Array
  Scalar: TypeAlias = Array | np.number  # a [] array; numpy's scalars are arrays to JAX
else:
  Array = Scalar = np.ndarray  # reporting and evaluation run without jax

Config: TypeAlias = Any  # an ml_collections.ConfigDict, whose fields a type checker cannot know

MODALITIES = ('language', 'audio', 'vision')

Params: TypeAlias = dict[str, Any]  # a pytree of arrays, {'adapter': ..., 'base': ...}


class Clips(NamedTuple):
  """A batch of clips, padded to common lengths.

  Attributes:
    sequences: {modality: [B, T_m, D_m] float32}; values where the mask is False are ignored.
    masks: {modality: [B, T_m] bool}, True where a frame exists.
  """

  sequences: dict[str, Array]
  masks: dict[str, Array]

  def at(self, places: Array) -> 'Clips':
    """The clips at `places` [n]."""
    return Clips(
      {m: x[places] for m, x in self.sequences.items()},
      {m: x[places] for m, x in self.masks.items()},
    )


class RaggedClips(NamedTuple):
  """The clips of a corpus one behind the other, without padding.

  Attributes:
    frames: {modality: [n_m, D_m] float32 or float16}, the frames of all clips; at least one row.
    starts: {modality: [N] int32}, the row of each clip's first frame.
    lengths: {modality: [N] int32} frames of each clip, 0 where it lacks the modality.
  """

  frames: dict[str, Array]
  starts: dict[str, Array]
  lengths: dict[str, Array]

  @property
  def widths(self) -> dict[str, int]:
    """{modality: D_m}."""
    return {m: x.shape[1] for m, x in self.frames.items()}

  @property
  def steps(self) -> dict[str, int]:
    """{modality: T_m} that hold every clip, at least 1; of host arrays."""
    return {m: max(1, int(n.max(initial=0))) for m, n in self.lengths.items()}

  def padded(self, places: Array, steps: Mapping[str, int]) -> Clips:
    """The clips at `places` [B], padded to `steps`; host or device arrays.

    What stands behind a clip's end is not zero: the masks tell what counts.
    """
    sequences, masks = {}, {}
    for m, frames in self.frames.items():
      step = np.arange(steps[m], dtype=np.int32)
      starts, lengths = self.starts[m][places][:, None], self.lengths[m][places][:, None]
      rows = (starts + step).clip(None, starts + (lengths - 1).clip(0))
      sequences[m] = frames[rows].astype(np.float32)
      masks[m] = step < lengths
    return Clips(sequences, masks)

  def rows(self, modality: str, places: np.ndarray) -> np.ndarray:
    """The frames [n, D_m] of the clips at `places`, one clip behind the other; host arrays."""
    lengths = np.asarray(self.lengths[modality][places])
    before = np.cumsum(lengths) - lengths
    first = np.repeat(self.starts[modality][places] - before, lengths)
    return np.asarray(self.frames[modality])[first + np.arange(lengths.sum())]

  def subset(
    self, places: np.ndarray, num_clips: int, num_rows: Mapping[str, int]
  ) -> 'RaggedClips':
    """The clips at `places` in an order of their own, behind which zeros fill up; host arrays.

    Args:
      places: [n] of the clips.
      num_clips: N of the result, at least n.
      num_rows: {modality: n_m} of the result, at least the clips' frames and 1.
    """
    frames, starts, lengths = {}, {}, {}
    for m, all_frames in self.frames.items():
      rows = self.rows(m, places)
      frames[m] = np.zeros((num_rows[m], all_frames.shape[1]), all_frames.dtype)
      frames[m][: len(rows)] = rows
      lengths[m] = np.zeros(num_clips, np.int32)
      lengths[m][: len(places)] = self.lengths[m][places]
      ends = np.cumsum(lengths[m])
      starts[m] = np.minimum(ends - lengths[m], num_rows[m] - 1).astype(np.int32)
    return RaggedClips(frames, starts, lengths)

  def at(self, places: np.ndarray) -> Clips:
    """The clips at `places` [B], padded with zeros to the longest of them; host arrays."""
    lengths = {m: n[places] for m, n in self.lengths.items()}
    steps = {m: max(1, int(n.max(initial=0))) for m, n in lengths.items()}
    clips = self.padded(places, steps)
    zeroed = {m: x * clips.masks[m][..., None] for m, x in clips.sequences.items()}
    return Clips(zeroed, clips.masks)


class Normaliser(NamedTuple):
  """Per-modality affine statistics of one fold; see `persona_jax.data.normalize`.

  Attributes:
    mean: {modality: [D_m] float32}.
    inverse_scale: {modality: [D_m] float32}, 0 for a column that is constant in training.
    limit: {modality: [] float32}, the largest standardised magnitude; inf for none.
  """

  mean: dict[str, Array]
  inverse_scale: dict[str, Array]
  limit: dict[str, Array]
