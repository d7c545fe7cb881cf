"""A person's own clips: a CSV with a line per clip, and an array of features per modality.

The columns are `clip`, `user`, `label`, and one per modality, which names a `.npy` file relative to
the CSV: [steps, width] features, or [width] where there is one step. Instead of these, a column
`features` may name one `.npz` file that holds an array per modality. `user` and `label` may be
missing or empty, and a clip may lack a modality.
"""

import collections
import csv
import dataclasses
import pathlib
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from persona_jax import files
from persona_jax.data import array_files
from persona_jax.data.array_files import Unusable
from persona_jax.data.corpus import Corpus
from persona_jax.data.joining import join_clips
from persona_jax.errors import UserError
from persona_jax.targets import SENTIMENT, Target
from persona_jax.types import Clips

CLIP, USER, LABEL, FEATURES = 'clip', 'user', 'label', 'features'


@dataclasses.dataclass(frozen=True, eq=False)
class OwnClips:
  """The clips that can be used, in the order of the lines.

  Attributes:
    names: [n] of the clips.
    users: [n] whose clips they are; '' where the line does not say.
    labels: [n] float32 sentiment, NaN where the line has none.
    clips: their features.
    left_out: {line: reason} of every line that cannot be used.
  """

  names: tuple[str, ...]
  users: tuple[str, ...]
  labels: np.ndarray
  clips: Clips
  left_out: dict[str, str]


class Line(NamedTuple):
  """A line that can be used: its clip, whose it is ('' where it does not say), label, frames."""

  name: str
  user: str
  label: float
  frames: dict[str, np.ndarray]


def read_lines(
  path: pathlib.Path, widths: Mapping[str, int], target: Target = SENTIMENT
) -> tuple[list[Line], dict[str, str]]:
  """Reads the lines of a CSV that can be used, and {line: reason} of the others.

  Args:
    path: of the CSV.
    widths: {modality: D_m} that clips must have.
    target: whose labels are in the column label; NaN where there is none.

  Raises:
    UserError: there is no such table.
  """
  lines, left_out, taken = [], {}, set()
  for number, line in enumerate(_lines(path), start=2):
    name = (line.get(CLIP) or '').strip()
    try:
      if not name:
        raise Unusable('no name in the column clip')
      if name in taken:
        raise Unusable('the name occurs before')
      label = _label(line, target)
      frames = _frames(path.parent, line, widths)
    except Unusable as error:
      left_out[f'line {number}' + (f' (clip {name})' if name else '')] = str(error)
      continue
    taken.add(name)
    lines.append(Line(name, (line.get(USER) or '').strip(), label, frames))
  return lines, left_out


def read(path: pathlib.Path, widths: Mapping[str, int]) -> OwnClips:
  """Reads the clips of a CSV.

  Args:
    path: of the CSV.
    widths: {modality: D_m} that the predictor needs.

  Raises:
    UserError: there is no such table, or no line of it can be used.
  """
  lines, left_out = read_lines(path, widths)
  if not lines:
    told = '; '.join(f'{line}: {reason}' for line, reason in list(left_out.items())[:3])
    raise UserError(f'{path}: no clip can be used ({told or "there is no line"}).')
  return OwnClips(
    tuple(line.name for line in lines),
    tuple(line.user for line in lines),
    np.array([line.label for line in lines], np.float32),
    join_clips([line.frames for line in lines], widths).at(np.arange(len(lines))),
    left_out,
  )


def widths_of(path: pathlib.Path, modalities: Sequence[str]) -> dict[str, int]:
  """{modality: the width that most arrays have}, of a CSV and its arrays.

  Raises:
    UserError: there is no such table, or no array of a modality can be read.
  """
  counts = {m: collections.Counter() for m in modalities}
  for line in _lines(path):
    try:
      arrays = _arrays(path.parent, line, modalities)
    except Unusable:  # told when the line is read
      continue
    for m, array in arrays.items():
      if array.ndim in (1, 2):
        counts[m][array.shape[-1]] += 1
  if missing := [m for m, found in counts.items() if not found]:
    raise UserError(
      f'{path}: no array of {missing[0]} can be read; expected a column {missing[0]} that names '
      f'.npy files beside it, or leave it out of config.model.modalities.'
    )
  return {m: found.most_common(1)[0][0] for m, found in counts.items()}


def array_paths(path: pathlib.Path, modalities: Sequence[str]) -> list[pathlib.Path]:
  """The files that a CSV names of these modalities, sorted: those that are in its folder.

  Raises:
    UserError: there is no such table.
  """
  names = {
    (line.get(field) or '').strip() for line in _lines(path) for field in (FEATURES, *modalities)
  }
  paths = {array_files.inside(path.parent, name) for name in names - {''}}
  return sorted(found for found in paths if found and found.is_file())


def of_corpus(corpus: Corpus) -> OwnClips:
  """The clips of a corpus as a person's own."""
  clips = corpus.clips.at(np.arange(len(corpus.names)))
  return OwnClips(corpus.names, corpus.speakers, corpus.labels, clips, dict(corpus.left_out))


def write(
  path: pathlib.Path,
  clips: Clips,
  names: Sequence[str],
  users: Sequence[str] | None = None,
  labels: Sequence[float] | np.ndarray | None = None,
) -> None:
  """Writes clips as `read` reads them, with a folder of arrays beside the CSV."""
  folder = path.with_suffix('')
  folder.mkdir(parents=True, exist_ok=True)
  with files.replacing(path) as file:
    table = files.CsvWriter(file)
    table.writerow((CLIP, USER, LABEL, *clips.sequences))
    for place, name in enumerate(names):
      cells = []
      for modality, sequence in clips.sequences.items():
        frames = np.asarray(sequence[place])[np.asarray(clips.masks[modality][place])]
        cells.append(f'{folder.name}/{place}.{modality}.npy' if len(frames) else '')
        if len(frames):
          np.save(path.parent / cells[-1], frames)
      user = '' if users is None else users[place]
      label = '' if labels is None else str(labels[place])
      table.writerow((name, user, label, *cells))


def write_speakers(folder: pathlib.Path, corpus: Corpus) -> None:
  """Writes a CSV per speaker of a corpus, as `write` does."""
  speakers = np.array(corpus.speakers)
  for speaker in dict.fromkeys(corpus.speakers):
    places = np.flatnonzero(speakers == speaker)
    names = [corpus.names[place] for place in places]
    path = folder / f'{urllib.parse.quote(speaker, safe=" ")}.csv'
    write(path, corpus.clips.at(places), names, [speaker] * len(names), corpus.labels[places])


def _lines(path: pathlib.Path) -> list[dict[str, str | None]]:
  try:
    with path.open(newline='', encoding='utf-8-sig', errors='surrogatepass') as file:
      reader = csv.DictReader(file)
      if CLIP not in (reader.fieldnames or ()):
        raise UserError(f'{path}: no column clip; expected a header such as clip,user,label,audio.')
      return list(reader)
  except OSError as error:
    raise UserError(f'{path}: cannot be read ({error.strerror}).') from error
  except (csv.Error, UnicodeDecodeError) as error:
    raise UserError(f'{path}: not a table of text ({error}).') from error


def _label(line: Mapping[str, str | None], target: Target) -> float:
  text = (line.get(LABEL) or '').strip()
  if not text:
    return np.nan
  try:
    label = float(text)
  except ValueError as error:
    raise Unusable(f'label {text!r} is no number') from error
  if not target.holds(label):
    raise Unusable(f'label {text}, expected {target.range}')
  return label


def _frames(
  root: pathlib.Path, line: Mapping[str, str | None], widths: Mapping[str, int]
) -> dict[str, np.ndarray]:
  """{modality: [steps, D_m]} of a clip; no step where it lacks the modality."""
  arrays = _arrays(root, line, widths)
  frames = {}
  for modality, width in widths.items():
    found = arrays.get(modality)
    if found is None:
      frames[modality] = np.zeros((0, width), np.float32)
      continue
    found = found[None] if found.ndim == 1 else found
    if found.ndim != 2 or found.shape[1] != width or found.dtype.kind not in 'fiu':
      shown = f'{found.dtype}{list(found.shape)}'
      raise Unusable(f'{modality} is {shown}, expected numbers [steps, {width}]')
    with np.errstate(over='ignore'):  # a float64 beyond float32 becomes inf
      frames[modality] = np.array(found, np.float32)
    if not np.isfinite(frames[modality]).all():
      raise Unusable(f'a value of {modality} is not finite')
  if not any(len(each) for each in frames.values()):
    raise Unusable('no features')
  return frames


def _arrays(
  root: pathlib.Path, line: Mapping[str, str | None], modalities: Iterable[str]
) -> dict[str, np.ndarray]:
  if whole := (line.get(FEATURES) or '').strip():
    loaded = array_files.load(root, whole)
    if isinstance(loaded, np.ndarray):
      raise Unusable(f'{whole} holds one array, expected an .npz with one per modality')
    return {modality: loaded[modality] for modality in modalities if modality in loaded}
  arrays = {}
  for modality in modalities:
    if name := (line.get(modality) or '').strip():
      loaded = array_files.load(root, name)
      if not isinstance(loaded, np.ndarray):
        raise Unusable(f'{name} holds several arrays, expected an .npy with one')
      arrays[modality] = loaded
  return arrays
