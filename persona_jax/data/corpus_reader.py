"""Reads our own corpus file, and checks every part of it first."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np

from persona_jax import targets
from persona_jax.data import corpus_about, joining, safe_hdf5
from persona_jax.data.corpus import Corpus
from persona_jax.data.corpus_about import Wrong
from persona_jax.data.gathering import label_problem
from persona_jax.errors import UserError
from persona_jax.types import MODALITIES, RaggedClips

FORMAT, VERSION = 'persona_jax corpus', 1
LABELS, LENGTHS = np.dtype('<f4'), np.dtype('<i4')
FRAMES = (np.dtype('<f4'), np.dtype('<f2'))
_AT_ONCE = 2**22  # values that are checked together


class Stored(NamedTuple):
  """A corpus file.

  Attributes:
    corpus: the corpus; its frames are read-only and still in the file.
    target: the name of what its labels are of.
    provenance: what it was made from, see `persona_jax.data.origins`.
  """

  corpus: Corpus
  target: str
  provenance: dict[str, Any]


def read(path: pathlib.Path, modalities: Sequence[str] = ()) -> Stored:
  """Reads a corpus file, with these modalities or, where there are none, all that it has.

  Raises:
    UserError: it is no such file, of a later version, or damaged, or lacks a modality.
  """
  expected = 'a corpus file of launch.convert'
  with safe_hdf5.damage_named(path, expected):
    file = safe_hdf5.SafeFile(path)
  with contextlib.closing(file), named(path, 'convert the original files again'):
    with safe_hdf5.damage_named(path, expected):
      _expect_version(file.root, path)
      return _Reader(path, file).stored(modalities)


def _expect_version(root: h5py.Group, path: pathlib.Path) -> None:
  found, version = safe_hdf5.attribute(root, 'format'), safe_hdf5.attribute(root, 'version')
  if found != FORMAT.encode():
    raise UserError(
      f'{path}: an HDF5 file but no corpus file (format); name computational sequences by '
      'config.data.labels, .language, .audio and .vision, and leave config.data.file empty.'
    )
  if not isinstance(version, int) or version < 1:
    raise Wrong('version: expected an integer of at least 1')
  if version > VERSION:
    raise UserError(
      f'{path}: version {version} of the format, expected {VERSION}; it was written by a later '
      'persona_jax, so update this one.'
    )


class _Reader:
  """Reads the parts of one file; raises `Wrong`, or what `safe_hdf5.damage_named` names."""

  def __init__(self, path: pathlib.Path, file: safe_hdf5.SafeFile):
    self._path, self._file = path, file

  def stored(self, modalities: Sequence[str]) -> Stored:
    about = corpus_about.from_json(self._about())
    count = len(about.names)
    try:
      target = targets.named(about.target)
    except UserError as error:
      raise Wrong(f'about/target: expected one of {", ".join(targets.COLUMNS)}') from error
    labels = self._column('labels', count, LABELS)
    expect_labels(about.names, labels, target)
    oracle = None
    if safe_hdf5.child(self._file.root, 'oracle') is not None:
      oracle = self._column('oracle', count, LABELS)
      if not np.isfinite(oracle).all():
        raise Wrong('oracle: a value is not finite')
    clips = self._clips(modalities or self._modalities(), count)
    sampling = {m: each for m, each in about.sampling.items() if m in clips.frames}
    corpus = Corpus(
      about.names,
      about.speakers,
      labels,
      clips,
      about.left_out,
      about.notes,
      sampling,
      oracle,
    )
    return Stored(corpus, target.name, about.provenance)

  def _dataset(self, name: str) -> h5py.Dataset:
    found: h5py.Group | h5py.Dataset | None = self._file.root
    with self._damage_named(name):
      for part in name.split('/'):
        found = safe_hdf5.child(found, part) if isinstance(found, h5py.Group) else None
    if not isinstance(found, h5py.Dataset):
      raise Wrong(f'{name}: no such dataset')
    return found

  def _about(self) -> bytes:
    dataset = self._dataset('about')
    if dataset.dtype != np.uint8 or len(dataset.shape) != 1:
      raise Wrong(f'about: {_shown(dataset)}, expected bytes')
    if dataset.shape[0] > corpus_about.MOST_BYTES:
      raise Wrong(f'about: {dataset.shape[0]} bytes, expected at most {corpus_about.MOST_BYTES}')
    return self._numbers('about', dataset).tobytes()

  def _column(self, name: str, count: int, dtype: np.dtype) -> np.ndarray:
    dataset = self._dataset(name)
    if dataset.shape != (count,) or dataset.dtype != dtype:
      raise Wrong(f'{name}: {_shown(dataset)}, expected {dtype}[{count}]')
    return self._numbers(name, dataset)

  def _numbers(self, name: str, dataset: h5py.Dataset) -> np.ndarray:
    with self._damage_named(name):
      return self._file.numbers(dataset)

  def _damage_named(self, name: str) -> contextlib.AbstractContextManager[None]:
    return safe_hdf5.damage_named(f'{self._path}: {name}', 'numbers')

  def _modalities(self) -> tuple[str, ...]:
    group = safe_hdf5.child(self._file.root, 'frames')
    found = [m for m in MODALITIES if isinstance(group, h5py.Group) and m in group]
    if not found:
      raise Wrong(f'frames: expected some of {", ".join(MODALITIES)}')
    return tuple(found)

  def _clips(self, modalities: Sequence[str], count: int) -> RaggedClips:
    there = self._modalities()
    if missing := [m for m in modalities if m not in there]:
      raise UserError(
        f'{self._path}: frames/{missing[0]}: no such dataset; take '
        f'--config.model.modalities={",".join(there)}, or convert files that have it.'
      )
    frames, starts, lengths = {}, {}, {}
    for m in modalities:
      lengths[m] = self._column(f'lengths/{m}', count, LENGTHS)
      frames[m] = self._frames(m, lengths[m])
      starts[m] = joining.starts_of(lengths[m], len(frames[m]))
    return RaggedClips(frames, starts, lengths)

  def _frames(self, modality: str, lengths: np.ndarray) -> np.ndarray:
    name = f'frames/{modality}'
    dataset = self._dataset(name)
    if dataset.dtype not in FRAMES or len(dataset.shape) != 2 or dataset.shape[1] < 1:
      raise Wrong(f'{name}: {_shown(dataset)}, expected float32 or float16 [n, D]')
    if (lengths < 0).any():
      raise Wrong(f'lengths/{modality}: one is negative')
    num_rows = max(1, int(lengths.sum(dtype=np.int64)))
    if num_rows > np.iinfo(np.int32).max:  # as `RaggedClips.starts` are
      raise Wrong(f'{name}: {num_rows} frames, expected at most {np.iinfo(np.int32).max}')
    if dataset.shape[0] != num_rows:
      raise Wrong(
        f'{name}: {_shown(dataset)}, expected {num_rows} frames, as lengths/{modality} has'
      )
    with self._damage_named(name):
      frames = self._file.mapped(dataset)
    for block in blocks(frames):
      if not np.isfinite(block).all():
        raise Wrong(f'{name}: a value is not finite')
    return frames


def blocks(frames: np.ndarray) -> Iterator[np.ndarray]:
  """Yields frames [n, D] a few rows at a time, as views."""
  at_once = max(1, _AT_ONCE // frames.shape[1])
  for start in range(0, len(frames), at_once):
    yield frames[start : start + at_once]


def expect_labels(names: Sequence[str], labels: np.ndarray, target: targets.Target) -> None:
  """Raises `Wrong` for the first label that is not finite or not in the range of the target."""
  for name, label in zip(names, labels.tolist(), strict=True):
    if problem := label_problem(label, target):
      raise Wrong(f'labels: of clip {name!a:.60}, {problem}')


def _shown(dataset: h5py.Dataset) -> str:
  return f'{dataset.dtype}{list(dataset.shape)}'


@contextlib.contextmanager
def named(path: pathlib.Path, what_to_do: str) -> Iterator[None]:
  """Makes a `UserError` of what is `Wrong` with a file or its content."""
  try:
    yield
  except Wrong as error:
    raise UserError(f'{path}: {error}; {what_to_do}.') from error
