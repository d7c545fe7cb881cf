"""What launch.check_data shows of a corpus: Markdown for the screen, and the same as JSON."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable

from persona_jax.data.feature_facts import PERCENTILES, ModalityFacts
from persona_jax.data.inspection import Group, Inspection
from persona_jax.reporting.markdown import literal, table

_NUM_COLUMNS = 8  # column numbers that a cell names
_CLIPS_OF_SPEAKERS = (1, 6, 11, 21, 51)  # the fewest clips of each class of speakers


def as_json(inspection: Inspection, problem: str | None) -> str:
  """All facts as a JSON object; `problem` says why a study cannot run, null if it can."""
  return json.dumps(dataclasses.asdict(inspection) | dict(problem=problem), indent=2) + '\n'


def markdown(found: Inspection, problem: str | None) -> str:
  """All facts as tables; `problem` says why a study cannot run, None if it can."""
  like = f'; as many videos and clips as {found.corpus_like}' if found.corpus_like else ''
  parts = [
    '# Corpus',
    f'{found.clips_found} labelled clips of {len(found.speakers)} speakers{like}. '
    + (f'A study cannot run: {literal(problem)}' if problem else 'A study can run.'),
    *_files(found),
    '## Features',
    _features(found),
    '## Clips',
    _clips(found),
    '## Frames per clip',
    _lengths(found),
    '## Labels',
    _labels(found),
    '## Speakers',
    _speakers(found),
    _protocols(found),
    *_notes('## Mixed sources', found.mixtures),
    *_notes('## Notes', found.notes),
  ]
  return '\n\n'.join(parts) + '\n'


def verified(sums: pathlib.Path, count: int) -> str:
  """Says that all files of a list of checksums are as listed."""
  return f'Files that are as {literal(str(sums))} lists them: {count} of {count}.\n'


def _files(found: Inspection) -> list[str]:
  if not found.files:
    return []
  rows = [
    [
      field,
      literal(file.name),
      literal(file.root),
      str(file.width),
      str(file.num_videos),
      str(file.num_labelled),
      str(file.num_frames),
    ]
    for field, file in found.files.items()
  ]
  header = ['', 'file', 'root name', 'width', 'videos', 'of them labelled', 'frames']
  return ['## Files', table(header, rows)]


def _features(found: Inspection) -> str:
  rows = [
    [
      modality,
      str(facts.width),
      facts.looks_like or 'no known release',
      _rate(facts.file_rate),
      _rate(facts.rate),
      _share(facts.num_zero, facts.num_frames),
      _columns(facts.constant),
      _columns(found.files[modality].non_finite) if modality in found.files else '–',
    ]
    for modality, facts in found.modalities.items()
  ]
  header = ['modality', 'width', 'looks like', 'frames/s in the file', 'frames/s used']
  header += ['zero vectors', 'constant columns', 'columns with non-finite values']
  return table(header, rows)


def _clips(found: Inspection) -> str:
  rows = [
    ['found', str(found.clips_found), ''],
    ['with every modality', str(found.clips_matched), ''],
    *(_row(f'kept, masked: {literal(group.what)}', group) for group in found.masked),
    *(_row(f'left out: {literal(group.what)}', group) for group in found.left_out),
  ]
  return table(['', 'clips', 'first'], rows)


def _row(what: str, group: Group) -> list[str]:
  return [what, str(group.count), _first(group)]


def _lengths(found: Inspection) -> str:
  rows = [[modality, *_lengths_of(facts)] for modality, facts in found.modalities.items()]
  shown = ['longest' if q == 100 else f'{q} %' for q in PERCENTILES]
  header = ['modality', *shown, 'max_steps', 'clips cut', 'frames cut', 'clips without']
  return table(header, rows)


def _lengths_of(facts: ModalityFacts) -> list[str]:
  return [
    *(f'{facts.lengths[q]:g}' for q in PERCENTILES),
    '–' if facts.max_steps is None else str(facts.max_steps),
    str(facts.clips_cut),
    _share(facts.frames_cut, facts.num_frames),
    str(facts.num_without),
  ]


def _labels(found: Inspection) -> str:
  header = ['label, rounded', *map(str, found.labels), 'different labels']
  return table(header, [['clips', *map(str, found.labels.values()), str(found.num_labels)]])


def _speakers(found: Inspection) -> str:
  ends = [*(first - 1 for first in _CLIPS_OF_SPEAKERS[1:]), None]
  header, counts = ['clips of a speaker'], ['speakers']
  for first, last in zip(_CLIPS_OF_SPEAKERS, ends, strict=True):
    header.append(f'{first} or more' if last is None else f'{first} to {last}')
    of_class = (first <= clips <= (last or clips) for clips in found.speakers.values())
    counts.append(str(sum(of_class)))
  return table(header, [counts])


def _protocols(found: Inspection) -> str:
  rows = [
    [
      literal(protocol),
      str(facts.asked.count),
      _first(facts.asked),
      str(facts.clips_needed),
      str(facts.enough),
      _first(facts.too_few),
      literal(facts.problem) if facts.problem else 'possible',
    ]
    for protocol, facts in found.protocols.items()
  ]
  header = ['protocol', 'users', 'their clips', 'clips each needs', 'users with enough']
  header += ['with too few', 'folds']
  return table(header, rows)


def _notes(heading: str, sentences: Iterable[str]) -> list[str]:
  lines = [f'- {literal(sentence)}' for sentence in sentences]
  return [heading, '\n'.join(lines)] if lines else []


def _first(group: Group) -> str:
  more = group.count - len(group.first)
  return ', '.join(map(literal, group.first)) + (f' and {more} more' if more else '')


def _columns(columns: Iterable[int]) -> str:
  """The number of columns, and which the first are."""
  numbers = list(columns)
  if not numbers:
    return '0'
  more = ', ...' if len(numbers) > _NUM_COLUMNS else ''
  return f'{len(numbers)} ({", ".join(map(str, numbers[:_NUM_COLUMNS]))}{more})'


def _share(count: int, total: int) -> str:
  return f'{count} ({count / total:.1%})' if count else '0'


def _rate(frames_per_second: float | None) -> str:
  return '–' if frames_per_second is None else f'{frames_per_second:.4g}'
