"""Computational sequences (.csd), the HDF5 files of the CMU Multimodal SDK.

A file holds one root group, whatever its name, with `data/<entry>/features [n, D]` and
`data/<entry>/intervals [n, 2]`, seconds in the whole video. An entry is a video, or one clip of it,
`<video>[<index>]`, where sequences were aligned already. Beside `data` there may be `metadata`,
whose datasets hold text, often as JSON. A folder of such files is one sequence in parts.
Source: https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK
"""

import json
import pathlib

import h5py
import numpy as np

from persona_jax.data import safe_hdf5
from persona_jax.errors import UserError

ARRAYS = ('features', 'intervals')


class ComputationalSequence:
  """A .csd file, or a folder of them; entries are read one at a time, when asked for.

  Attributes:
    path: of the file or folder.
    videos: the names of its entries, sorted.
  """

  def __init__(self, path: str | pathlib.Path):
    """Opens `path`. Raises `UserError` when it is missing, not HDF5, or not a .csd."""
    self.path = pathlib.Path(path)
    self._open: _File | None = None
    self._file_of: dict[str, pathlib.Path] = {}
    for file in self._files():
      for entry in self._part(file).entries:
        if entry in self._file_of:
          raise UserError(
            f'{file}: {entry} is in {self._file_of[entry].name} too; expected every entry in one '
            'file of the folder.'
          )
        self._file_of[entry] = file
    self.videos = sorted(self._file_of)

  def _files(self) -> list[pathlib.Path]:
    if self.path.is_dir():
      files = sorted(self.path.glob('*.csd'))
      if not files:
        raise UserError(f'{self.path}: a folder without .csd files; expected some, or one file.')
      return files
    if not self.path.is_file():
      raise UserError(
        f'{self.path}: no such file; expected a .csd computational sequence there '
        '(see config.data.root and the modality fields beside it).'
      )
    return [self.path]

  def _part(self, path: pathlib.Path) -> '_File':
    """The part at `path`, the only one that is open."""
    if self._open is None or self._open.path != path:
      self.close()
      self._open = _File(path)
    return self._open

  def __enter__(self) -> 'ComputationalSequence':
    return self

  def __exit__(self, *exception) -> None:
    self.close()

  def close(self) -> None:
    if self._open is not None:
      self._open.close()
      self._open = None

  @property
  def root(self) -> str:
    """The name of the root group in the first file."""
    return self._part(self._files()[0]).root

  def width(self) -> int:
    """Feature width D of the first entry. Raises `UserError` where there is none."""
    if not self.videos:
      raise UserError(f'{self.path}: holds no video; expected data/<video>/features.')
    return self.read(self.videos[0])[0].shape[1]

  def read(self, video: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads one entry: features [n, D] float32 and intervals [n, 2] float64 in seconds.

    Raises:
      UserError: a dataset is missing, damaged, of the wrong shape, or holds text.
    """
    return self._part(self._file_of[video]).read(video)

  def metadata(self, name: str) -> list[str]:
    """The texts of one dataset of the metadata; empty where there is none.

    It may be written as str or bytes, plain, with commas, or as JSON.
    """
    return self._part(self._files()[0]).metadata(name)


class _File:
  """One open .csd file."""

  def __init__(self, path: pathlib.Path):
    self.path = path
    with safe_hdf5.damage_named(path, 'a .csd computational sequence'):
      self._file = safe_hdf5.SafeFile(path)
    try:
      with safe_hdf5.damage_named(path, 'a .csd computational sequence'):
        self.root, self._group, self._data = self._find_root()
        self.entries = sorted(map(self._checked, self._data))
    except UserError:
      self.close()
      raise

  def _find_root(self) -> tuple[str, h5py.Group, h5py.Group]:
    """The name of the root group, itself, and the "data" group inside."""
    roots = []
    for name in map(str, self._file.root):
      group = safe_hdf5.child(self._file.root, name)
      data = safe_hdf5.child(group, 'data') if isinstance(group, h5py.Group) else None
      if isinstance(group, h5py.Group) and isinstance(data, h5py.Group):
        roots.append((name, group, data))
    if len(roots) != 1:
      raise UserError(
        f'{self.path}: expected one root group with a "data" group inside, found '
        f'{list(self._file.root)}; is this a .csd computational sequence?'
      )
    return roots[0]

  def _checked(self, entry: str | bytes) -> str:
    if isinstance(entry, bytes) or not entry.isprintable():  # bytes where it is not UTF-8
      raise UserError(
        f'{self.path}: {self.root}/data/{ascii(entry)}: expected a name of printable '
        'UTF-8 text; rename the video in every file.'
      )
    return entry

  def close(self) -> None:
    self._file.close()

  def read(self, entry: str) -> tuple[np.ndarray, np.ndarray]:
    where = f'{self.path}: {self.root}/data/{entry}'
    with safe_hdf5.damage_named(where, 'the datasets "features" and "intervals"'):
      group = safe_hdf5.child(self._data, entry)
      features, intervals = (self._numbers(group, name, where) for name in ARRAYS)
    if features.ndim != 2 or intervals.shape != (features.shape[0], 2):
      raise UserError(
        f'{where}: features {features.shape} and intervals {intervals.shape} do not '
        'fit, expected [n, D] and [n, 2].'
      )
    with np.errstate(over='ignore'):  # a float64 beyond float32 becomes inf, and is counted later
      return features.astype(np.float32, copy=False), intervals.astype(np.float64, copy=False)

  def _numbers(self, group: object, name: str, where: str) -> np.ndarray:
    """One of the arrays of an entry's group, whatever its shape."""
    dataset = safe_hdf5.child(group, name) if isinstance(group, h5py.Group) else None
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
    return self._file.numbers(dataset)

  def metadata(self, name: str) -> list[str]:
    with safe_hdf5.damage_named(f'{self.path}: {self.root}/metadata/{name}', 'text'):
      group = safe_hdf5.child(self._group, 'metadata')
      dataset = safe_hdf5.child(group, name) if isinstance(group, h5py.Group) else None
      texts = safe_hdf5.text(dataset) if isinstance(dataset, h5py.Dataset) else []
    return _unpacked(texts[0]) if len(texts) == 1 else texts


def _unpacked(text: str) -> list[str]:
  """The texts in one text: a JSON list or string, or parts between commas."""
  try:
    found = json.loads(text)
  except (ValueError, RecursionError):
    found = text
  parts = found if isinstance(found, list) else str(found).strip('[]()').split(',')
  return [str(part).strip().strip('\'"') for part in parts]
