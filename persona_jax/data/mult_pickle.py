"""MulT's pickles: mosi_data.pkl, mosi_data_noalign.pkl, mosei_senti_data.pkl.

{split: {'vision', 'audio', 'text': [N, T, D], 'labels': [N, 1, 1], 'id': [N, 1] or [N, 3]}}

An id is a clip, `video[index]` or `video_index`, or three texts: video, start and end in seconds.
The clips of a video that has starts are numbered by them, over all splits. Sequences are padded
with zeros, at the front or at the end. Source: src/dataset.py in
https://github.com/yaohungt/Multimodal-Transformer
"""

import collections
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from persona_jax import targets
from persona_jax.data import label_file, pickle_splits
from persona_jax.data.corpus import Corpus
from persona_jax.data.gathering import Clip, Gathered, label_problem, video_and_index
from persona_jax.data.pickle_splits import Split
from persona_jax.types import Config

SOURCES = {'language': 'text', 'audio': 'audio', 'vision': 'vision'}
_UNDERSCORED = re.compile(r'(.+)_(\d{1,9})')


class _Id(NamedTuple):
  """A clip's id: its video, its index or else its place on the time line, its position."""

  video: str
  index: int | None
  times: tuple[float, float]
  position: str


def load(config: Config, splits: Sequence[Split]) -> Corpus:
  """The corpus of all splits of a file.

  Raises:
    UserError: a field is missing or of another shape, or no clip is left.
  """
  target, gathered = targets.of(config), Gathered(config)
  ids = {split.name: pickle_splits.rows(split, 'id') for split in splits}
  names = _names(ids, gathered)
  found = pickle_splits.modalities(config, splits[0], SOURCES)
  for split in splits:
    count = len(ids[split.name])
    arrays = {
      m: split.sequences(source, count)
      for m, source in SOURCES.items()
      if m in found or source in split.fields
    }
    pickle_splits.expect_widths(split, found, arrays)
    labels = split.columns('labels', count)
    column = label_file.column(split.where('labels'), labels.shape[1], (), target) if count else 0
    for place, name in enumerate(names[split.name]):
      if name is None:
        continue
      if problem := label_problem(labels[place, column], target):
        gathered.leave_out(name, problem)
        continue
      valid = {m: pickle_splits.has_values(array[place]) for m, array in arrays.items()}
      spans = pickle_splits.spans(valid)
      frames = {m: each.frames(arrays[m][place], spans[m]) for m, each in found.items()}
      video, _ = video_and_index(name) or (name, 0)
      gathered.add(Clip(name, video, float(labels[place, column]), frames))
  return pickle_splits.corpus(config, splits, gathered, found, ())


def _names(ids: dict[str, list], gathered: Gathered) -> dict[str, list[str | None]]:
  """The names of the clips of every split; None for one that was left out because of its id."""
  parsed: dict[str, list[_Id | None]] = {}
  for split, rows in ids.items():
    parsed[split] = []
    for place, row in enumerate(rows):
      try:
        parsed[split].append(_parsed(row, f'{split}[{place}]'))
      except ValueError as error:
        gathered.leave_out(f'{split}[{place}]', str(error))
        parsed[split].append(None)
  timed, first = collections.defaultdict(list), {}
  for of_split in parsed.values():
    for place, each in enumerate(of_split):
      if each is None or each.index is not None:
        continue
      before = first.setdefault((each.video, each.times), each.position)
      if before == each.position:
        timed[each.video].append(each)
      else:
        gathered.leave_out(each.position, f'its id is that of {before}')
        of_split[place] = None
  index_of = {
    each.position: index
    for of_video in timed.values()
    for index, each in enumerate(sorted(of_video, key=lambda each: each.times))
  }
  return {
    split: [
      None if each is None else f'{each.video}[{index_of.get(each.position, each.index)}]'
      for each in of_split
    ]
    for split, of_split in parsed.items()
  }


def _parsed(row: object, position: str) -> _Id:
  """Raises `ValueError` for what is no id."""
  parts = [
    pickle_splits.as_text(part) for part in (row if isinstance(row, (list, tuple)) else [row])
  ]
  if len(parts) not in (1, 3):
    raise ValueError(f'its id has {len(parts)} parts, expected 1 or 3')
  if known := video_and_index(parts[0]):
    return _Id(*known, (0, 0), position)
  if len(parts) == 3:
    times = _seconds(parts[1]), _seconds(parts[2])
    return _Id(parts[0], None, times, position)
  if match := _UNDERSCORED.fullmatch(parts[0]):
    return _Id(match[1], int(match[2]), (0, 0), position)
  raise ValueError(f'its id {parts[0]!a:.60} has no index')


def _seconds(text: str) -> float:
  try:
    seconds = float(text)
  except ValueError:
    seconds = math.nan
  if not math.isfinite(seconds):
    raise ValueError(f'its id has {text!a:.40} in place of seconds')
  return seconds
