"""Computational sequences (.csd), the HDF5 files of the CMU Multimodal SDK.

A file holds one root group, whatever its name, with `data/<video>/features [n, D]` and
`data/<video>/intervals [n, 2]`, seconds in the whole video.
Source: https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK
"""

import contextlib
import pathlib
from collections.abc import Iterator

import h5py
import numpy as np

from persona_jax.errors import UserError

ARRAYS = ('features', 'intervals')


class ComputationalSequence:
  """One open .csd file; videos are read one at a time, when asked for.

  Attributes:
    root: the name of the root group, read from the file.
    videos: the file's video names, sorted.
  """

  def __init__(self, path: str | pathlib.Path):
    """Opens `path`. Raises `UserError` when it is missing, not HDF5, or not a .csd."""
    self.path = pathlib.Path(path)
    if not self.path.is_file():
      raise UserError(
        f'{self.path}: no such file; expected a .csd computational sequence there '
        '(see config.data.root and the modality fields beside it).'
      )
    with _damage_named(self.path, 'a .csd computational sequence'):
      self._file = h5py.File(self.path, 'r')
    try:
      with _damage_named(self.path, 'a .csd computational sequence'):
        self.root, self._data = self._find_root()
        self.videos = sorted(map(self._checked, self._data))
    except UserError:
      self.close()
      raise

  def _find_root(self) -> tuple[str, h5py.Group]:
    """The name of the root group, and the "data" group inside."""
    roots = []
    for name, group in self._file.items():
      data = group.get('data') if isinstance(group, h5py.Group) else None
      if isinstance(data, h5py.Group):
        roots.append((name, data))
    if len(roots) != 1:
      raise UserError(
        f'{self.path}: expected one root group with a "data" group inside, found '
        f'{list(self._file)}; is this a .csd computational sequence?'
      )
    return roots[0]

  def _checked(self, video: str | bytes) -> str:
    if isinstance(video, bytes) or not video.isprintable():  # bytes where it is not UTF-8
      raise UserError(
        f'{self.path}: {self.root}/data/{ascii(video)}: expected a name of printable '
        'UTF-8 text; rename the video in every file.'
      )
    return video

  def __enter__(self) -> 'ComputationalSequence':
    return self

  def __exit__(self, *exception) -> None:
    self.close()

  def close(self) -> None:
    self._file.close()

  def width(self) -> int:
    """Feature width D of the file's first video. Raises `UserError` for an empty file."""
    if not self.videos:
      raise UserError(f'{self.path}: holds no video; expected data/<video>/features.')
    return self.read(self.videos[0])[0].shape[1]

  def read(self, video: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads one video: features [n, D] float32 and intervals [n, 2] float64 in seconds.

    Raises:
      UserError: a dataset is missing, damaged, of the wrong shape, or holds text.
    """
    where = f'{self.path}: {self.root}/data/{video}'
    with _damage_named(where, 'the datasets "features" and "intervals"'):
      features, intervals = (_numbers(self._data[video], name, where) for name in ARRAYS)
    if features.ndim != 2 or intervals.shape != (features.shape[0], 2):
      raise UserError(
        f'{where}: features {features.shape} and intervals {intervals.shape} do not '
        'fit, expected [n, D] and [n, 2].'
      )
    with np.errstate(over='ignore'):  # a float64 beyond float32 becomes inf, and is counted later
      return features.astype(np.float32), intervals.astype(np.float64)


@contextlib.contextmanager
def _damage_named(where: pathlib.Path | str, expected: str) -> Iterator[None]:
  """Turns what h5py raises on broken chunks, dangling links or odd types into a `UserError`."""
  try:
    yield
  except UserError:
    raise
  except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
    raise UserError(
      f'{where}: not readable as HDF5 ({error}); expected {expected}, so download the file again.'
    ) from error


def _numbers(video: object, name: str, where: str) -> np.ndarray:
  """One of the arrays of a video's group, whatever its shape."""
  dataset = video.get(name) if isinstance(video, h5py.Group) else None
  if not isinstance(dataset, h5py.Dataset):
    raise UserError(f'{where}: expected the datasets "features" and "intervals".')
  if dataset.dtype.kind not in 'fiu':
    raise UserError(
      f'{where}/{name}: holds {dataset.dtype}, expected numbers'
      + (
        '; name a file of vectors (for language, word vectors rather than words).'
        if name == 'features'
        else ' (start and end in seconds).'
      )
    )
  return np.asarray(dataset[()])
