"""How every loader makes a corpus: clips are kept, or left out by name with a reason."""

import collections
import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from persona_jax.data.corpus import Corpus
from persona_jax.data.joining import Joiner, join
from persona_jax.data.resample import Sampling
from persona_jax.data.speakers import speakers_of
from persona_jax.errors import UserError
from persona_jax.targets import Target
from persona_jax.types import Config

_CLIP = re.compile(r'(.+)\[(\d{1,9})\]')
# How the notes on clips begin.
_MASKED, _LEFT_OUT = 'clips kept with a modality masked: ', ' labelled clips left out: '


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


def frames_dtype(config: Config) -> np.dtype:
  """What frames are kept in; a synthetic config need not say."""
  return np.dtype(config.data.get('dtype', 'float32'))


def as_dtype(frames: np.ndarray, dtype: np.dtype, what: str) -> np.ndarray:
  """Finite frames [t, D] in `dtype`; `what` they are goes into a message.

  Raises:
    UserError: a value is beyond `dtype`.
  """
  with np.errstate(over='ignore'):
    cast = frames.astype(dtype, copy=False)
  beyond = np.flatnonzero(~np.isfinite(cast)) if dtype == np.float16 else []
  if len(beyond):
    raise UserError(
      f"config.data.dtype = 'float16': {what} has the value {frames.flat[beyond[0]]:g}, which "
      f"float16 cannot hold (at most {np.finfo(dtype).max:g}); set it to 'float32'."
    )
  return cast


def missing_problem(missing: Sequence[str], modalities: Sequence[str], how: str) -> str:
  """Why a clip without frames of the `missing` ones of its modalities is left out; '' if it is not.

  Args:
    how: `config.data.missing`.
  """
  if len(missing) == len(modalities):
    return 'no modality has a frame in its interval'
  if missing and how == 'drop':
    return f'no frame of {", ".join(missing)} (config.data.missing is "drop")'
  return ''


def notes_on_clips(
  masked: Mapping[str, Sequence[str]], left_out: Mapping[str, str]
) -> tuple[str, ...]:
  """Sentences on the clips that are kept but lack modalities, and on those left out.

  Args:
    masked: {clip: the modalities that it lacks}.
    left_out: {clip: reason}.
  """
  notes = ()
  if masked:
    counts = collections.Counter(m for missing in masked.values() for m in missing)
    told = ', '.join(f'{m} {n}' for m, n in sorted(counts.items()))
    notes += (f'{_MASKED}{told} (first: {next(iter(masked))}).',)
  if left_out:
    told = '; '.join(f'{name}: {why}' for name, why in left_out.items())
    notes += (f'{len(left_out)}{_LEFT_OUT}{told}.',)
  return notes


def is_note_on_clips(note: str) -> bool:
  """Whether `notes_on_clips` made it."""
  return note.startswith(_MASKED) or note.lstrip('0123456789').startswith(_LEFT_OUT)


class Gathered:
  """The clips to use, and the reason for every other one.

  Attributes:
    kept: the clips to use, whose frames are not here.
    left_out: (clip, reason) of the others.
  """

  def __init__(self, config: Config):
    """Of clips with the modalities of `config.model`, kept as `config.data` says."""
    self._modalities, self._missing = tuple(config.model.modalities), config.data.missing
    self._dtype = frames_dtype(config)
    self.kept: list[Clip] = []
    self._joiners: dict[str, Joiner] = {}
    self.left_out: list[tuple[str, str]] = []
    self._masked: dict[str, list[str]] = {}
    self._names: set[str] = set()

  def leave_out(self, name: str, reason: str) -> None:
    """Leaves a clip out by name."""
    self.left_out.append((name, reason))

  def add(self, clip: Clip) -> None:
    """Keeps a clip, if it has frames, and its name is new.

    Raises:
      UserError: a value is beyond `config.data.dtype`.
    """
    if clip.name in self._names:
      self.leave_out(clip.name, 'its name occurs before')
      return
    self._names.add(clip.name)
    missing = [m for m in self._modalities if not len(clip.frames[m])]
    if reason := missing_problem(missing, self._modalities, self._missing):
      self.leave_out(clip.name, reason)
      return
    if missing:
      self._masked[clip.name] = missing
    for m in self._modalities:
      frames = as_dtype(clip.frames[m], self._dtype, f'{m} of clip {clip.name}')
      if m not in self._joiners:
        self._joiners[m] = Joiner(frames.shape[1], self._dtype)
      self._joiners[m].add(frames)
    self.kept.append(dataclasses.replace(clip, frames={}))

  def corpus(
    self,
    where: pathlib.Path,
    speakers: pathlib.Path | None,
    notes: Sequence[str],
    sampling: Mapping[str, Sampling],
  ) -> Corpus:
    """The corpus of the clips that were kept, whose frames are released as they are joined.

    Args:
      where: the file that the clips are named in, for the message if there is none.
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
      clips=join(self._joiners),
      left_out=left_out,
      notes=(*speaker_notes, *notes, *notes_on_clips(self._masked, left_out)),
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
