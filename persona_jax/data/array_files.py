"""Arrays of numpy in files that came from anywhere: .npy and .npz.

No objects are read, since they can hold code; a file is read only if it lies in the folder of the
table that names it; and sizes are checked against the file before room is made for them.
"""

import math
import os
import pathlib
import zipfile
from typing import IO

import numpy as np

_MOST_EXPANSION, _ALWAYS = 10, 2**26  # as of `persona_jax.data.safe_hdf5`


class Unusable(ValueError):
  """Why a file, or the line that names it, cannot be used."""


def inside(root: pathlib.Path, name: str) -> pathlib.Path | None:
  """The path of a file `name`; None where that is not in the folder `root`."""
  path = pathlib.Path(os.path.normpath(root / name))
  return path if path.is_relative_to(os.path.normpath(root)) else None


def load(root: pathlib.Path, name: str) -> np.ndarray | dict[str, np.ndarray]:
  """Reads an array, or those of an .npz.

  Args:
    root: the folder of the table.
    name: of the file, relative to `root`.

  Raises:
    Unusable: it lies elsewhere, or is no file of plain arrays.
  """
  path = inside(root, name)
  if path is None:
    raise Unusable(f'{name} is not in the folder of the table')
  try:
    if not path.is_file():  # a device would never end
      raise FileNotFoundError(2, 'No such file', name)
    if zipfile.is_zipfile(path):
      return _load_several(path)
    return np.load(path, allow_pickle=False, mmap_mode='r')  # refuses more than the file has
  except OSError as error:
    raise Unusable(f'{path.name} cannot be read ({error.strerror or error})') from error
  except Exception as error:  # numpy and zipfile raise many kinds for a file that is not theirs
    raise Unusable(f'{path.name} is no array of numpy ({" ".join(str(error).split())})') from error


def _load_several(path: pathlib.Path) -> dict[str, np.ndarray]:
  arrays = {}
  with zipfile.ZipFile(path) as archive:
    members = archive.infolist()
    room = _MOST_EXPANSION * path.stat().st_size + _ALWAYS
    if sum(member.file_size for member in members) > room:
      raise ValueError('declares more than a file of this size can hold')
    for member in members:
      with archive.open(member) as file:
        _expect_whole(file, member.file_size)
      with archive.open(member) as file:
        arrays[member.filename.removesuffix('.npy')] = np.lib.format.read_array(file)
  return arrays


def _expect_whole(file: IO[bytes], size: int) -> None:
  """Raises `ValueError` where an array's header declares more than its `size` bytes."""
  version = np.lib.format.read_magic(file)
  read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
  if version not in read:
    raise ValueError(f'format {version}')
  shape, _, dtype = read[version](file)
  if math.prod(map(int, shape)) * dtype.itemsize > size:
    raise ValueError(f'declares {dtype}{list(shape)} in {size} bytes')
