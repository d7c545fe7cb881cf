"""Clips joined: their frames one behind the other."""

import mmap
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike

from persona_jax.types import Array, RaggedClips

_BLOCK = 4 << 20  # bytes
_ALIGNMENT = 64  # bytes


class Joiner:
  """Frames of one modality, collected clip by clip.

  They are kept in blocks, each of which is released as soon as it is joined, so that collecting and
  joining take the memory of the frames about once.

  Attributes:
    lengths: the frames of every clip so far.
  """

  def __init__(self, width: int, dtype: DTypeLike = np.float32):
    """Of frames that are `width` wide, kept in `dtype`."""
    self.lengths: list[int] = []
    self._width, self._dtype = width, np.dtype(dtype)
    self._blocks: list[np.ndarray] = []
    self._free = 0  # rows of the last block

  def add(self, frames: np.ndarray) -> None:
    """Copies the frames [t, D] of one clip, which may have none."""
    self.lengths.append(len(frames))
    while len(frames):
      if not self._free:
        self._blocks.append(self._block())
        self._free = len(self._blocks[-1])
      part = frames[: self._free]
      place = len(self._blocks[-1]) - self._free
      self._blocks[-1][place : place + len(part)] = part
      self._free -= len(part)
      frames = frames[len(part) :]

  def _block(self) -> np.ndarray:
    """Rows in memory of their own: an allocator may keep what a program has let go of."""
    row = max(1, self._width * self._dtype.itemsize)
    rows = max(1, _BLOCK // row)
    return np.frombuffer(mmap.mmap(-1, rows * row), self._dtype, rows * self._width).reshape(
      rows, self._width
    )

  def joined(self) -> np.ndarray:
    """[n, D] frames of all clips, at least one row. The blocks are let go of, one by one."""
    num_rows = sum(self.lengths)
    frames = _aligned_zeros((max(1, num_rows), self._width), self._dtype)
    self._blocks.reverse()
    start = 0
    while self._blocks:
      block = self._blocks.pop()[: num_rows - start]
      frames[start : start + len(block)] = block
      start += len(block)
    return frames


def _aligned_zeros(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
  """Zeros at an address that XLA for CPUs needs: every device of the CPU uses them as they are."""
  raw = np.zeros(shape[0] * shape[1] * dtype.itemsize + _ALIGNMENT, np.uint8)
  start = -raw.ctypes.data % _ALIGNMENT
  return raw[start : start + len(raw) - _ALIGNMENT].view(dtype).reshape(shape)


def join(joiners: Mapping[str, Joiner]) -> RaggedClips:
  """The clips of all modalities; every joiner has been given the same clips, and is used up."""
  frames: dict[str, Array] = {}
  starts: dict[str, Array] = {}
  lengths: dict[str, Array] = {}
  for modality, joiner in joiners.items():
    each = np.array(joiner.lengths, np.int32)
    frames[modality], lengths[modality] = joiner.joined(), each
    starts[modality] = starts_of(each, len(frames[modality]))
  return RaggedClips(frames, starts, lengths)


def join_clips(
  clips: Sequence[Mapping[str, np.ndarray]],
  widths: Mapping[str, int],
  dtype: DTypeLike = np.float32,
) -> RaggedClips:
  """Joins the frames of clips.

  Args:
    clips: of every clip, {modality: [t, D_m]}.
    widths: {modality: D_m}.
    dtype: that frames are kept in.
  """
  joiners = {m: Joiner(width, dtype) for m, width in widths.items()}
  for clip in clips:
    for m, joiner in joiners.items():
      joiner.add(clip[m])
  return join(joiners)


def starts_of(lengths: np.ndarray, num_frames: int) -> np.ndarray:
  """[N] int32: the rows at which clips of these lengths [N] start, one behind the other."""
  before = lengths.cumsum(dtype=np.int64) - lengths
  return np.minimum(before, num_frames - 1).astype(np.int32)
