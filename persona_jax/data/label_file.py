"""The labels of a corpus in computational sequences: which clips there are, and their scores."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from persona_jax.data import align, csd, gathering
from persona_jax.errors import UserError
from persona_jax.targets import COLUMNS, EMOTIONS, Target, standard_name


@dataclasses.dataclass(frozen=True)
class LabelledClip:
  """A clip with a label: its name, its [2] seconds in the video, its label."""

  name: str
  interval: np.ndarray
  label: float


@dataclasses.dataclass(frozen=True)
class Labels:
  """What the labels file holds.

  Attributes:
    clips: {video: its clips in order}, of those that can be used.
    left_out: (clip, reason) of the others.
    notes: sentences on clips that are odd.
  """

  clips: dict[str, list[LabelledClip]]
  left_out: list[tuple[str, str]]
  notes: list[str]


def read(path: pathlib.Path, target: Target) -> Labels:
  """Reads the labels of `target` from a file whose entries are videos, or clips `video[index]`.

  Raises:
    UserError: the file is damaged, or has no column for the target.
  """
  clips: dict[str, list[LabelledClip]] = {}
  left_out: list[tuple[str, str]] = []
  instants = []
  with csd.ComputationalSequence(path) as sequence:
    width = sequence.width()
    chosen = column(path, width, sequence.metadata('dimension names'), target)
    for entry in sorted(sequence.videos, key=_order):
      segment = gathering.video_and_index(entry)
      video = segment[0] if segment else entry
      features, intervals = sequence.read(entry)
      usable = align.valid_intervals(intervals)
      if segment and len(features) != 1:
        problem = f'its entry has {len(features)} labels, expected 1'
        left_out += [(entry, problem)] * len(features)
        continue
      if features.shape[1] != width:
        raise UserError(
          f'{path}: {entry} is {features.shape[1]} wide, the first entry {width}; every entry must '
          'have the same columns.'
        )
      for index, score in enumerate(features[:, chosen]):
        name = entry if segment else f'{video}[{index}]'
        problem = gathering.label_problem(score, target)
        if not problem and not usable[index]:
          problem = f'its interval {intervals[index].tolist()} is not one'
        if problem:
          left_out.append((name, problem))
          continue
        clips.setdefault(video, []).append(LabelledClip(name, intervals[index], float(score)))
        if intervals[index, 0] == intervals[index, 1]:
          instants.append(name)
  notes = [f'clips of zero length: {", ".join(instants)}.'] if instants else []
  return Labels(clips, left_out, notes)


def _order(entry: str) -> tuple[str, int]:
  """Sorts the clips of a video by their index, not by its digits."""
  return gathering.video_and_index(entry) or (entry, -1)


def column(where: object, width: int, names: Sequence[str], target: Target) -> int:
  """The column of the target in labels that are `width` wide.

  Args:
    where: what to call the labels in a message.
    names: of the columns, as the file says; where they are not known, their number tells.

  Raises:
    UserError: there is no such column.
  """
  names = [standard_name(name) for name in names]
  if width == 1:
    names = [COLUMNS[0]]
  elif len(names) != width or not set(names) & set(COLUMNS):
    names = {7: list(COLUMNS), 6: list(EMOTIONS)}.get(width, [])
  if target.name in names:
    return names.index(target.name)
  raise UserError(
    f'{where}: its labels have {width} columns a clip ({", ".join(names) or "unnamed"}), '
    f'none of them {target.name} (config.data.target); is this the labels file?'
  )
