"""HDF5 files from anywhere: nothing outside the file is opened, and sizes are checked first.

A link may lead to another file, and so may the storage of a dataset; a few bytes can declare a
dataset of terabytes, or hold compressed zeros without end. So only hard links are followed, only
numbers that the file itself holds are read, and `SafeFile` counts the bytes that datasets declare
before room is made for them: at most `MOST_EXPANSION` times the file's size in all, which leaves
room for compression, and `ALWAYS` for small files.
"""

import contextlib
import pathlib
import zlib
from collections.abc import Iterator

import h5py
import numpy as np

from persona_jax.errors import UserError

MOST_EXPANSION, ALWAYS = 10, 2**26
MOST_TEXT = 2**16  # bytes of a text
_DEFLATE = 1032  # the most bytes that a byte of deflate can become
_CHECKSUM = 4  # bytes of fletcher32, which may be inside the compressed bytes
# What h5py writes by itself; any other filter is a library to be loaded, or chains expand twice.
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


class Refused(ValueError):
  """What a file of features has no need of."""


class SafeFile:
  """One HDF5 file, open for reading.

  Attributes:
    root: its root group.
  """

  def __init__(self, path: pathlib.Path):
    """Opens `path`; raises what h5py raises where it is not HDF5."""
    self._path, self._file = path, h5py.File(path, 'r')
    self.root: h5py.Group = self._file
    self._size = path.stat().st_size
    self._room = MOST_EXPANSION * self._size + ALWAYS

  def close(self) -> None:
    self._file.close()

  def numbers(self, dataset: h5py.Dataset) -> np.ndarray:
    """Reads a dataset of numbers.

    Raises:
      Refused: it lies outside the file, or declares more than the file can hold.
    """
    is_compressed = _check_storage(dataset)
    self._take(dataset)
    if is_compressed:
      _check_chunks(dataset, self._size)
    return np.asarray(dataset[()])

  def mapped(self, dataset: h5py.Dataset) -> np.ndarray:
    """A dataset of numbers that stays in the file: a read-only `np.memmap`.

    The file must not change as long as it is used.

    Raises:
      Refused: it is not in one piece, or the file does not hold all of it.
    """
    _check_storage(dataset)
    layout, size = dataset.id.get_create_plist().get_layout(), _size(dataset.shape)
    if layout != h5py.h5d.CONTIGUOUS or not size:
      raise Refused('is not stored in one piece')
    offset, shown = dataset.id.get_offset(), f'{dataset.dtype}{list(dataset.shape)}'
    if offset is None or offset + size * dataset.dtype.itemsize > self._size:
      raise Refused(f'declares {shown}, which the file does not hold')
    return np.memmap(self._path, dataset.dtype, 'r', offset, dataset.shape)

  def _take(self, dataset: h5py.Dataset) -> None:
    """Takes the dataset's bytes, or those of one of its chunks, out of the room that is left."""
    shapes = [dataset.shape, dataset.chunks or ()]
    self._room -= max(_size(shape) for shape in shapes) * dataset.dtype.itemsize
    if self._room < 0:
      raise Refused(
        f'declares {dataset.dtype}{list(dataset.shape)}, more than a file of this size can hold'
      )


@contextlib.contextmanager
def damage_named(where: pathlib.Path | str, expected: str) -> Iterator[None]:
  """Turns what h5py raises on broken chunks, dangling links or odd types into a `UserError`.

  Args:
    where: the file, and the place in it.
    expected: what should be there.
  """
  try:
    yield
  except UserError:
    raise
  except Refused as error:
    raise UserError(f'{where}: {error}; expected {expected}, in the file itself.') from error
  except (OSError, KeyError, RuntimeError, TypeError, ValueError, MemoryError) as error:
    raise UserError(
      f'{where}: not readable as HDF5 ({error}); expected {expected}, so download the file again.'
    ) from error


def attribute(group: h5py.Group, name: str) -> bytes | int | None:
  """A text of bytes, or an integer, that a group has as an attribute; None for anything else."""
  if name not in group.attrs:
    return None
  found = group.attrs.get_id(name)
  if found.shape or found.dtype.kind not in 'Siu' or found.dtype.itemsize > MOST_TEXT:
    return None
  return np.asarray(group.attrs[name]).item()


def child(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
  """What a group has by that name in the file itself; None where there is nothing.

  Raises:
    Refused: it is a link to somewhere else.
  """
  if not group.id.links.exists(name.encode()):
    return None
  if not isinstance(group.get(name, getlink=True), h5py.HardLink):
    raise Refused(f'{ascii(name)} is a link to another place')
  found = group[name]
  return found if isinstance(found, (h5py.Group, h5py.Dataset)) else None


def text(dataset: h5py.Dataset) -> list[str]:
  """The texts of a small dataset of str or bytes; empty where it holds anything else.

  Raises:
    Refused: it is large, or lies outside the file.
  """
  _check_storage(dataset)
  if not h5py.check_string_dtype(dataset.dtype):
    return []
  if _size(dataset.shape) * dataset.dtype.itemsize > MOST_TEXT or dataset.chunks:
    raise Refused(f'{dataset.dtype}{list(dataset.shape)} is too long for a text')
  found: list[str] = []
  for place in np.ndindex(dataset.shape):  # one by one: all of them may be one and the same text
    raw = dataset[place] if place else dataset[()]
    found.append(raw.decode('utf-8', 'replace') if isinstance(raw, bytes) else str(raw))
    if sum(map(len, found)) > MOST_TEXT:
      raise Refused('is too long for a text')
  return found


def _size(shape: tuple[int, ...]) -> int:
  size = 1
  for n in shape:
    size *= int(n)  # Python's integers do not overflow
  return size


def _check_storage(dataset: h5py.Dataset) -> bool:
  """Returns whether the dataset is compressed; raises `Refused` unless its values are here."""
  plist = dataset.id.get_create_plist()
  if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
    raise Refused('keeps its values in another file')
  filters = [plist.get_filter(n)[0] for n in range(plist.get_nfilters())]
  if not set(filters) <= _FILTERS or len(set(filters)) < len(filters):
    raise Refused(f'is compressed by other means than gzip ({dataset.compression or "unknown"})')
  return h5py.h5z.FILTER_DEFLATE in filters


def _check_chunks(dataset: h5py.Dataset, file_size: int) -> None:
  """Refuses a chunk that inflates to more than its size; HDF5 would make room for all of it."""
  size, large = _size(dataset.chunks or ()) * dataset.dtype.itemsize, []

  def check(chunk: h5py.h5d.StoreInfo) -> None:
    if chunk.size > file_size:
      raise Refused(f'declares a chunk of {chunk.size} bytes in a file of {file_size}')
    if chunk.size * _DEFLATE > ALWAYS:
      large.append(chunk.chunk_offset)

  dataset.id.chunk_iter(check)
  for offset in large:
    _, stored = dataset.id.read_direct_chunk(offset)
    try:
      inflated = zlib.decompressobj().decompress(stored, size + _CHECKSUM + 1)
    except zlib.error as error:
      raise Refused(f'has a chunk that is not compressed ({error})') from error
    if len(inflated) > size + _CHECKSUM:
      raise Refused('has a chunk that holds more than it declares')
