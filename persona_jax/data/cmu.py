"""CMU-MOSI as computational sequences: one file of labels, and one file per modality."""

import collections
import contextlib
import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from persona_jax.data import align, csd
from persona_jax.data.corpus import LABEL_RANGE, Corpus, join_clips
from persona_jax.data.modality import ModalityReader
from persona_jax.data.speakers import speakers_of
from persona_jax.errors import UserError
from persona_jax.runtime.progress import Progress
from persona_jax.types import Config


def load(config: Config) -> Corpus:
  """Loads labels and one .csd file per modality, one video at a time.

  Raises:
    UserError: a file is missing or malformed, a label is out of range, or no clip is left.
  """
  data, modalities = config.data, config.model.modalities
  if not data.root:
    raise UserError(
      'config.data.root is empty: point it at the folder with the .csd files, '
      'for example --config.data.root=DIR.'
    )
  root = pathlib.Path(data.root)
  labels = _read_labels(root / data.labels)
  with contextlib.ExitStack() as stack:
    readers = {
      m: stack.enter_context(
        ModalityReader(root / data[m], data.max_steps[m], data.frames_per_second[m])
      )
      for m in modalities
    }
    clips = _cut(labels, readers, drop_incomplete=data.missing == 'drop')
    reader_notes = [note for reader in readers.values() for note in reader.notes()]
  if not clips.kept:
    raise UserError(
      f'{root / data.labels}: none of its {len(clips.left_out)} clips could be used; the '
      f'first, {next(iter(clips.left_out.items()), "none")}; do the files belong together?'
    )
  speaker_of, speaker_note = speakers_of(
    {clip.video for clip in clips.kept}, root / data.speakers if data.speakers else None
  )
  return Corpus(
    names=tuple(clip.name for clip in clips.kept),
    speakers=tuple(speaker_of[clip.video] for clip in clips.kept),
    labels=np.array([clip.label for clip in clips.kept], np.float32),
    clips=join_clips(
      [clip.frames for clip in clips.kept], {m: r.width for m, r in readers.items()}
    ),
    left_out=clips.left_out,
    notes=(speaker_note, *labels.notes, *reader_notes, *clips.notes()),
    sampling={m: reader.sampling() for m, reader in readers.items()},
  )


@dataclasses.dataclass(frozen=True)
class _Labels:
  """What the labels file holds: {video: intervals [n, 2]}, {video: {index: score}}."""

  intervals: dict[str, np.ndarray]
  scores: dict[str, dict[int, float]]
  left_out: dict[str, str]
  notes: list[str]


def _read_labels(path: pathlib.Path) -> _Labels:
  intervals, scores, left_out, instants = {}, {}, {}, []
  with csd.ComputationalSequence(path) as sequence:
    if sequence.width() != 1:
      raise UserError(
        f'{path}: labels are {sequence.width()} wide, expected 1 sentiment score per '
        'clip; is this the opinion labels file?'
      )
    for video in sequence.videos:
      features, intervals[video] = sequence.read(video)
      usable = align.valid_intervals(intervals[video])
      scores[video] = {}
      for index, score in enumerate(features[:, 0]):
        name = f'{video}[{index}]'
        if not np.isfinite(score):
          left_out[name] = f'its label is {score}'
        elif abs(score) > LABEL_RANGE:
          raise UserError(f'{path}: clip {name} has sentiment {score:g}, expected -3 to 3.')
        elif not usable[index]:
          left_out[name] = f'its interval {intervals[video][index].tolist()} is not one'
        else:
          scores[video][index] = score
          if intervals[video][index, 0] == intervals[video][index, 1]:
            instants.append(name)
  notes = [f'clips of zero length: {", ".join(instants)}.'] if instants else []
  return _Labels(intervals, scores, left_out, notes)


@dataclasses.dataclass(frozen=True)
class _Clip:
  """One labelled clip with {modality: frames [t, D_m]}."""

  name: str
  video: str
  label: float
  frames: dict[str, np.ndarray]


@dataclasses.dataclass
class _Clips:
  """The clips to use, {clip: reason} of the others, and {clip: its missing modalities}."""

  kept: list[_Clip]
  left_out: dict[str, str]
  masked: dict[str, list[str]]

  def notes(self) -> list[str]:
    """Sentences on the clips that lack a modality, and on those left out."""
    notes = []
    if self.masked:
      counts = collections.Counter(m for missing in self.masked.values() for m in missing)
      notes.append(
        'clips kept with a modality masked: '
        + ', '.join(f'{m} {n}' for m, n in sorted(counts.items()))
        + f' (first: {next(iter(self.masked))}).'
      )
    if self.left_out:
      notes.append(
        f'{len(self.left_out)} labelled clips left out: '
        + '; '.join(f'{name}: {why}' for name, why in self.left_out.items())
        + '.'
      )
    return notes


def _cut(labels: _Labels, readers: Mapping[str, ModalityReader], drop_incomplete: bool) -> _Clips:
  """Cuts every labelled clip out of the files, one video at a time."""
  clips = _Clips([], dict(labels.left_out), {})
  with Progress('reading', len(labels.intervals), 'videos') as progress:
    for video, intervals in labels.intervals.items():
      frames = {m: reader.frames(video, intervals) for m, reader in readers.items()}
      for index, label in labels.scores[video].items():
        clip = _Clip(f'{video}[{index}]', video, label, {m: frames[m][index] for m in readers})
        missing = [m for m in readers if not len(clip.frames[m])]
        if len(missing) == len(readers):
          clips.left_out[clip.name] = 'no modality has a frame in its interval'
        elif missing and drop_incomplete:
          clips.left_out[clip.name] = (
            f'no frame of {", ".join(missing)} (config.data.missing is "drop")'
          )
        else:
          if missing:
            clips.masked[clip.name] = missing
          clips.kept.append(clip)
      progress.advance()
  return clips
