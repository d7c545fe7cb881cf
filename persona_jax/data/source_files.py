"""Facts about the feature files themselves, read one video at a time."""

import collections
import dataclasses
import pathlib
from collections.abc import Collection

import numpy as np

from persona_jax.data import csd
from persona_jax.errors import UserError
from persona_jax.types import Config

HDF5, PICKLE, TABLE = 'hdf5', 'pickle', 'table'
_STARTS = {HDF5: b'\x89HDF\r\n\x1a\n', PICKLE: b'\x80'}


@dataclasses.dataclass(frozen=True)
class SourceFile:
  """One computational sequence.

  Attributes:
    name: of the file.
    root: the name of its root group.
    width: columns of its features.
    num_videos: videos in the file.
    num_labelled: those of the labelled videos that it has.
    num_frames: rows of features, over all videos.
    non_finite: {column: its values that are not finite} of the columns with any.
  """

  name: str
  root: str
  width: int
  num_videos: int
  num_labelled: int
  num_frames: int
  non_finite: dict[int, int]


def kind(path: pathlib.Path) -> str:
  """`HDF5`, `PICKLE` or else `TABLE`, by the first bytes of one file that holds everything.

  Raises:
    UserError: it cannot be read.
  """
  try:
    with path.open('rb') as file:
      start = file.read(8)
  except OSError as error:
    raise UserError(f'{path}: cannot be read ({error.strerror}); see config.data.file.') from error
  return next((kind for kind, first in _STARTS.items() if start.startswith(first)), TABLE)


def read(path: pathlib.Path, labelled: Collection[str]) -> SourceFile:
  """Reads a .csd file from end to end.

  Args:
    labelled: names of the labelled videos.

  Raises:
    UserError: the file is missing or malformed.
  """
  non_finite, num_frames = collections.Counter(), 0
  with csd.ComputationalSequence(path) as sequence:
    for video in sequence.videos:
      features, _ = sequence.read(video)
      num_frames += len(features)
      counts = (~np.isfinite(features)).sum(axis=0)
      non_finite.update({int(column): int(counts[column]) for column in np.flatnonzero(counts)})
    return SourceFile(
      name=path.name,
      root=sequence.root,
      width=sequence.width(),
      num_videos=len(sequence.videos),
      num_labelled=len(set(labelled) & set(sequence.videos)),
      num_frames=num_frames,
      non_finite=dict(sorted(non_finite.items())),
    )


def read_all(config: Config, labelled: Collection[str]) -> dict[str, SourceFile]:
  """{'labels' or modality: its file} of `config.data`; empty where it names no .csd files."""
  if config.data.name != 'csd' or config.data.file:
    return {}
  root = pathlib.Path(config.data.root)
  return {
    field: read(root / config.data[field], labelled)
    for field in ('labels', *config.model.modalities)
  }
