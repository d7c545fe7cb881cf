"""How every loader makes a corpus: clips are kept, or left out by name with a reason."""

import collections
import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from persona_jax.data.corpus import Corpus, join_clips
from persona_jax.data.resample import Sampling
from persona_jax.data.speakers import speakers_of
from persona_jax.errors import UserError
from persona_jax.targets import Target

_CLIP = re.compile(r'(.+)\[(\d{1,9})\]')


@dataclasses.dataclass(frozen=True)
class Clip:
  """One labelled clip.

  Attributes:
    name: of the clip.
    video: what its speaker is looked up by.
    label: in the target's range.
    frames: {modality: [t, D_m]}.
    speaker: who speaks, where the file itself says so.
  """

  name: str
  video: str
  label: float
  frames: dict[str, np.ndarray]
  speaker: str = ''


def video_and_index(name: str) -> tuple[str, int] | None:
  """The parts of a name `video[index]`; None for another name."""
  match = _CLIP.fullmatch(name)
  return (match[1], int(match[2])) if match else None


def label_problem(label: float, target: Target) -> str:
  """Why a label cannot be used; '' if it can."""
  if not np.isfinite(label):
    return f'its label is {label}'
  return '' if target.holds(label) else f'its {target.name} is {label:g}, expected {target.range}'


class Gathered:
  """The clips to use, and the reason for every other one.

  Attributes:
    kept: the clips to use.
    left_out: (clip, reason) of the others.
  """

  def __init__(self, modalities: Sequence[str], drop_incomplete: bool):
    """With `drop_incomplete`, a clip that lacks one of the modalities is left out, not masked."""
    self._modalities, self._drop_incomplete = modalities, drop_incomplete
    self.kept: list[Clip] = []
    self.left_out: list[tuple[str, str]] = []
    self._masked: dict[str, list[str]] = {}
    self._names: set[str] = set()

  def leave_out(self, name: str, reason: str) -> None:
    """Leaves a clip out by name."""
    self.left_out.append((name, reason))

  def add(self, clip: Clip) -> None:
    """Keeps a clip, if it has frames, and its name is new."""
    if clip.name in self._names:
      self.leave_out(clip.name, 'its name occurs before')
      return
    self._names.add(clip.name)
    missing = [m for m in self._modalities if not len(clip.frames[m])]
    if len(missing) == len(self._modalities):
      self.leave_out(clip.name, 'no modality has a frame in its interval')
    elif missing and self._drop_incomplete:
      self.leave_out(clip.name, f'no frame of {", ".join(missing)} (config.data.missing is "drop")')
    else:
      if missing:
        self._masked[clip.name] = missing
      self.kept.append(clip)

  def corpus(
    self,
    where: pathlib.Path,
    widths: Mapping[str, int],
    speakers: pathlib.Path | None,
    notes: Sequence[str],
    sampling: Mapping[str, Sampling],
  ) -> Corpus:
    """The corpus of the clips that were kept.

    Args:
      where: the file that the clips are named in, for the message if there is none.
      widths: {modality: D_m}.
      speakers: the CSV "video,speaker"; None counts every video as a speaker.
      notes: sentences on the files.
      sampling: {modality: how it was sampled}.

    Raises:
      UserError: no clip was kept, or a video has no speaker.
    """
    if not self.kept:
      raise UserError(
        f'{where}: none of its {len(self.left_out)} clips could be used; the '
        f'first, {next(iter(self.left_out), "none")}; do the files belong together?'
      )
    speaker_of, speaker_notes = self._speakers(where, speakers)
    left_out = self._left_out_by_name()
    return Corpus(
      names=tuple(clip.name for clip in self.kept),
      speakers=tuple(clip.speaker or speaker_of[clip.video] for clip in self.kept),
      labels=np.array([clip.label for clip in self.kept], np.float32),
      clips=join_clips([clip.frames for clip in self.kept], widths),
      left_out=left_out,
      notes=(*speaker_notes, *notes, *self._notes(left_out)),
      sampling=dict(sampling),
    )

  def _speakers(
    self, where: pathlib.Path, path: pathlib.Path | None
  ) -> tuple[dict[str, str], list[str]]:
    """{video: speaker} of clips whose file does not name the speaker, and sentences on all."""
    named = {clip.speaker for clip in self.kept if clip.speaker}
    notes = [f'{len(named)} speakers are named in {where.name}.'] if named else []
    videos = {clip.video for clip in self.kept if not clip.speaker}
    if not videos:
      return {}, notes
    speaker_of, note = speakers_of(videos, path)
    return speaker_of, [*notes, note]

  def _left_out_by_name(self) -> dict[str, str]:
    """{clip: reason}; a name that another clip has gets a number behind it."""
    times, by_name = collections.Counter(clip.name for clip in self.kept), {}
    for name, reason in self.left_out:
      unique = name
      while times[unique]:
        times[name] += 1
        unique = f'{name} ({times[name]})'
      times[unique] += 1
      by_name[unique] = reason
    return by_name

  def _notes(self, left_out: Mapping[str, str]) -> list[str]:
    """Sentences on the clips that lack a modality, and on those left out."""
    notes = []
    if self._masked:
      counts = collections.Counter(m for missing in self._masked.values() for m in missing)
      notes.append(
        'clips kept with a modality masked: '
        + ', '.join(f'{m} {n}' for m, n in sorted(counts.items()))
        + f' (first: {next(iter(self._masked))}).'
      )
    if left_out:
      notes.append(
        f'{len(left_out)} labelled clips left out: '
        + '; '.join(f'{name}: {why}' for name, why in left_out.items())
        + '.'
      )
    return notes
