"""Pickles of published splits, as MulT's and MMSA's: {split: {field: array or list}}.

What both loaders share: which arrays there are and whether they fit, what is padding, and how a
clip's frames are cut, mended and counted.
"""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from persona_jax.data import safe_pickle
from persona_jax.data.corpus import Corpus
from persona_jax.data.gathering import Gathered
from persona_jax.data.resample import Sampling
from persona_jax.errors import UserError
from persona_jax.types import Config


@dataclasses.dataclass(frozen=True)
class Split:
  """One split of a file.

  Attributes:
    path: of the file.
    name: such as 'train'.
    fields: what it holds.
  """

  path: pathlib.Path
  name: str
  fields: Mapping[str, Any]

  def where(self, field: str) -> str:
    return f'{self.path}: {self.name}/{field}'

  def field(self, name: str) -> Any:
    """Raises `UserError` where the split has no such field."""
    if name not in self.fields:
      raise UserError(
        f'{self.where(name)}: no such field; found {", ".join(map(ascii, self.fields))}.'[:500]
      )
    return self.fields[name]

  def numbers(self, name: str, count: int | None = None) -> np.ndarray:
    """A field of numbers, [count, ...]; raises `UserError` where it is none."""
    found = self.field(name)
    if isinstance(found, list) and all(isinstance(each, (int, float, np.number)) for each in found):
      found = np.array(found, np.float64)
    if not isinstance(found, np.ndarray) or found.dtype.kind not in 'fiu' or not found.ndim:
      kind = f'{found.dtype}' if isinstance(found, np.ndarray) else type(found).__name__
      raise UserError(f'{self.where(name)}: {kind}, expected an array of numbers.')
    if count is not None and len(found) != count:
      raise UserError(f'{self.where(name)}: {len(found)} clips, the ids are of {count}.')
    return found

  def sequences(self, name: str, count: int) -> np.ndarray:
    """A field of features [count, T, D]."""
    found = self.numbers(name, count)
    if found.ndim != 3:
      raise UserError(
        f'{self.where(name)}: shape {list(found.shape)}, expected [clips, steps, width].'
      )
    return found

  def columns(self, name: str, count: int) -> np.ndarray:
    """A field of numbers per clip, [count, k] whatever its further axes are."""
    found = self.numbers(name, count)
    return found.reshape(count, -1) if found.size else np.zeros((count, 1))

  def column(self, name: str, count: int) -> np.ndarray:
    """A field of one number per clip, [count]."""
    found = self.columns(name, count)
    if found.shape[1] != 1:
      raise UserError(f'{self.where(name)}: {found.shape[1]} numbers a clip, expected 1.')
    return found[:, 0]


def read(path: pathlib.Path) -> list[Split]:
  """Reads a pickle of splits.

  Raises:
    UserError: it cannot be read safely, or holds something else.
  """
  content = safe_pickle.load(path)
  if not isinstance(content, dict) or not content:
    raise UserError(f'{path}: holds {type(content).__name__}, expected a dict of splits.')
  for name, fields in content.items():
    if not isinstance(name, str) or not isinstance(fields, dict):
      raise UserError(
        f'{path}: {name!a:.40} holds {type(fields).__name__}, expected a split with its fields.'
      )
  splits = [Split(path, name, fields) for name, fields in content.items()]
  _expect_once(path, splits)
  return splits


def _expect_once(path: pathlib.Path, splits: Sequence[Split]) -> None:
  """One array in many places would become as many times its size in the corpus."""
  arrays = [
    each
    for split in splits
    for each in split.fields.values()
    if isinstance(each, np.ndarray) and each.dtype.kind in 'fiu'
  ]
  if sum(each.nbytes for each in arrays) > path.stat().st_size:
    raise UserError(f'{path}: one array is in several places; expected every array once.')


@dataclasses.dataclass
class Modality:
  """What is found of one modality while its clips are read.

  Attributes:
    source: the name of its field.
    max_steps: at which clips are cut.
    width: D, of the first split.
  """

  source: str
  max_steps: int
  width: int
  counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  num_cut: int = 0

  def frames(self, padded: np.ndarray, valid: slice) -> np.ndarray:
    """The clip's frames [t, D] float32 of [T, D]: without padding, finite, cut."""
    with np.errstate(over='ignore'):  # a float64 beyond float32 becomes inf, and is counted
      found = padded[valid].astype(np.float32)
    finite = np.isfinite(found)
    self.counts['non-finite values set to 0'] += int((~finite).sum())
    found[~finite] = 0
    self.num_cut += len(found) > self.max_steps
    return found[: self.max_steps]

  def notes(self, file: str) -> list[str]:
    counts = self.counts | {f'clips cut to {self.max_steps} steps': self.num_cut}
    return [f'{file}, {self.source}: {what}: {count}.' for what, count in counts.items() if count]


def has_values(padded: np.ndarray) -> np.ndarray:
  """[T] bool of [T, D]: the frame is not all zeros."""
  return (padded != 0).any(axis=1)


def span(valid: np.ndarray) -> slice:
  """From the first to the last True of [T]; empty where there is none."""
  places = np.flatnonzero(valid)
  return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def spans(valid: Mapping[str, np.ndarray], fixed: Sequence[str] = ()) -> dict[str, slice]:
  """What is left of each modality without the padding at both ends.

  Where all modalities have the same number of steps, they are aligned: a step is padding if it is
  padding in all of them, so that a word without a vector stays. A modality that is padding
  throughout has no frame.

  Args:
    valid: {modality: [T_m] bool, False for what looks like padding}.
    fixed: modalities whose `valid` is known, by a length or a mask.
  """
  aligned = len({len(each) for each in valid.values()}) == 1
  together = np.logical_or.reduce(list(valid.values())) if aligned else None
  return {
    m: span(each if together is None or m in fixed or not each.any() else together)
    for m, each in valid.items()
  }


def as_text(value: object) -> str:
  """An id as text.

  Raises:
    ValueError: it is none, or could not be printed.
  """
  try:
    text = value.decode() if isinstance(value, bytes) else value
  except UnicodeDecodeError as error:
    raise ValueError(f'its id {value!a:.60} is not UTF-8') from error
  if not isinstance(text, str) or not text.strip() or not text.isprintable():
    raise ValueError(f'its id {text!a:.60} is no printable text')
  return text.strip()


def rows(split: Split, name: str) -> list[Any]:
  """A field of ids as a list with one entry, or list of entries, per clip."""
  found = split.field(name)
  try:
    found = found.tolist() if isinstance(found, np.ndarray) else found
  except ValueError as error:  # numbers that are no characters
    raise UserError(f'{split.where(name)}: not text ({error}).') from error
  if not isinstance(found, (list, tuple)):
    raise UserError(f'{split.where(name)}: {type(found).__name__}, expected one id per clip.')
  return list(found)


def modalities(config: Config, split: Split, sources: Mapping[str, str]) -> dict[str, Modality]:
  """The modalities of the config, with the widths of the first split."""
  found = {}
  for m in config.model.modalities:
    array = split.numbers(sources[m])
    width = array.shape[-1] if array.ndim == 3 else 0
    found[m] = Modality(sources[m], config.data.max_steps[m], width)
  return found


def expect_widths(split: Split, found: Mapping[str, Modality], arrays: Mapping[str, Any]) -> None:
  """Raises `UserError` where a split is not as wide as the first."""
  for m, modality in found.items():
    if arrays[m].shape[2] != modality.width:
      raise UserError(
        f'{split.where(modality.source)}: {arrays[m].shape[2]} wide, the first split '
        f'{modality.width}; every split must have the same columns.'
      )


def corpus(
  config: Config,
  splits: Sequence[Split],
  gathered: Gathered,
  found: Mapping[str, Modality],
  notes: Sequence[str],
) -> Corpus:
  """The corpus of all splits together; the study makes its own."""
  path, data = splits[0].path, config.data
  merged = ', '.join(split.name for split in splits)
  return gathered.corpus(
    path,
    pathlib.Path(data.root) / data.speakers if data.speakers else None,
    [
      f'{path.name}: merged its splits {merged}; the study makes its own.',
      *notes,
      *(note for modality in found.values() for note in modality.notes(path.name)),
    ],
    {m: Sampling(None, None, modality.num_cut) for m, modality in found.items()},
  )
