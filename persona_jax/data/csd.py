"""Computational sequences (.csd), the HDF5 files of the CMU Multimodal SDK.

A file holds one root group, whatever its name, with `data/<video>/features [n, D]` and
`data/<video>/intervals [n, 2]`, seconds in the whole video.
Source: https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK
"""

import pathlib

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
      raise UserError(f'{self.path}: no such file; expected a .csd computational sequence there '
                      '(see config.data.root and the modality fields beside it).')
    try:
      self._file = h5py.File(self.path, 'r')
    except OSError as error:
      raise UserError(f'{self.path}: not readable as HDF5 ({error}); expected a .csd '
                      'computational sequence, so download it again.') from error
    roots = [name for name, group in self._file.items()
             if isinstance(group, h5py.Group) and isinstance(group.get('data'), h5py.Group)]
    if len(roots) != 1:
      found = sorted(self._file)
      self.close()
      raise UserError(f'{self.path}: expected one root group with a "data" group inside, found '
                      f'{found}; is this a .csd computational sequence?')
    self.root = roots[0]
    self._data = self._file[self.root]['data']
    for video in self._data:  # bytes where they are not UTF-8
      if isinstance(video, bytes) or not video.isprintable():
        self.close()
        raise UserError(f'{self.path}: {self.root}/data/{ascii(video)}: expected a name of printable '
                        'UTF-8 text; rename the video in every file.')
    self.videos = sorted(self._data)

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
      UserError: a dataset is missing, of the wrong shape, or holds text.
    """
    where = f'{self.path}: {self.root}/data/{video}'
    try:
      features, intervals = (_numbers(self._data[video], name, where) for name in ARRAYS)
    except (OSError, KeyError, RuntimeError) as error:  # a broken chunk, a link that leads nowhere
      raise UserError(f'{where}: not readable ({error}); expected the datasets "features" and '
                      '"intervals", so download the file again.') from error
    if features.ndim != 2 or intervals.shape != (features.shape[0], 2):
      raise UserError(f'{where}: features {features.shape} and intervals {intervals.shape} do not '
                      'fit, expected [n, D] and [n, 2].')
    with np.errstate(over='ignore'):  # a float64 beyond float32 becomes inf, and is counted later
      return features.astype(np.float32), intervals.astype(np.float64)


def _numbers(group: h5py.Group, name: str, where: str) -> np.ndarray:
  """One of a video's arrays, whatever its shape."""
  if not isinstance(group, h5py.Group) or not isinstance(group.get(name), h5py.Dataset):
    raise UserError(f'{where}: expected the datasets "features" and "intervals".')
  if group[name].dtype.kind not in 'fiu':
    raise UserError(f'{where}/{name}: holds {group[name].dtype}, expected numbers'
                    + ('; name a file of vectors (for language, word vectors rather than words).'
                       if name == 'features' else ' (start and end in seconds).'))
  return np.asarray(group[name][()])
