"""The corpus on the host: every clip's sequences, label and speaker, and what was left out."""

import collections
import contextlib
import dataclasses
import hashlib
import pathlib
from typing import Iterable

import ml_collections
import numpy as np

from persona_jax.data import align, csd, resample, synthetic
from persona_jax.data.speakers import speakers_of
from persona_jax.errors import UserError
from persona_jax.progress import Progress
from persona_jax.types import MODALITIES, Clips

LABEL_RANGE = 3.0


@dataclasses.dataclass(frozen=True)
class Corpus:
  """All clips, padded to common lengths.

  Attributes:
    names: [N] clip names, `<video>[<index>]`, index counted in the labels file.
    speakers: [N] speaker of each clip.
    labels: [N] float32 sentiment, -3 to 3.
    clips: sequences [N, T_m, D_m] and masks [N, T_m].
    left_out: {clip: reason} of every labelled clip that is not here.
    notes: sentences a reader of the results should know, such as how speakers were told apart.
    sampling: {modality: how its file was sampled}; empty for a corpus that was made up.
    oracle: [N] predictions of one who knows the speakers' personas, or None where nobody does.
  """

  names: tuple[str, ...]
  speakers: tuple[str, ...]
  labels: np.ndarray
  clips: Clips
  left_out: dict[str, str]
  notes: tuple[str, ...]
  sampling: dict[str, resample.Sampling] = dataclasses.field(default_factory=dict)
  oracle: np.ndarray | None = None

  def __post_init__(self):
    assert len(self.names) == len(self.speakers) == len(self.labels)
    assert len(set(self.names)) == len(self.names)


def fingerprint(corpus: Corpus) -> dict[str, str]:
  """SHA-256 of what a result depends on: clip names and speakers, labels, each modality."""
  names = repr(list(zip(corpus.names, corpus.speakers))).encode()
  parts = {'clips': [names], 'labels': [corpus.labels]}
  for modality, sequence in corpus.clips.sequences.items():
    parts[modality] = [repr(sequence.shape).encode(), sequence, corpus.clips.masks[modality]]
  return {part: _sha256(contents) for part, contents in parts.items()}


def _sha256(contents: Iterable[bytes | np.ndarray]) -> str:
  digest = hashlib.sha256()
  for content in contents:
    digest.update(content if isinstance(content, bytes) else np.ascontiguousarray(content))
  return digest.hexdigest()


def load(config: ml_collections.ConfigDict) -> Corpus:
  """Loads what `config.data` names: the synthetic corpus, or CMU-MOSI's files.

  Raises:
    UserError: a file or field is not as expected.
  """
  if config.data.name == 'synthetic':
    return from_synthetic(config)
  return from_files(config)


def from_synthetic(config: ml_collections.ConfigDict) -> Corpus:
  made = synthetic.make(config.data.seed, config.data.num_speakers, config.data.clips_per_speaker)
  modalities = config.model.modalities
  return Corpus(
      made.names, made.speakers, made.labels,
      Clips({m: made.clips.sequences[m] for m in modalities},
            {m: made.clips.masks[m] for m in modalities}),
      left_out={}, oracle=made.oracle,
      notes=(f'synthetic persona corpus, seed {config.data.seed}: made up, not measured.',))


def from_files(config: ml_collections.ConfigDict) -> Corpus:
  """Loads labels and one .csd file a modality, a video at a time.

  Raises:
    UserError: a file is missing or malformed, a label is out of range, or nothing is left.
  """
  data, modalities = config.data, config.model.modalities
  if not data.root:
    raise UserError('config.data.root is empty: point it at the folder with the .csd files, '
                    'for example --config.data.root=DIR.')
  root = pathlib.Path(data.root)
  labels = _read_labels(root / data.labels)
  loaded, left_out, masked = [], dict(labels.left_out), {}
  with contextlib.ExitStack() as stack:
    parts = {m: stack.enter_context(_ModalityReader(
        root / data[m], data.max_steps[m], data.frames_per_second[m]))
             for m in modalities}
    progress = stack.enter_context(Progress('reading', len(labels.intervals), 'videos'))
    for video, intervals in labels.intervals.items():
      frames = {m: part.frames(video, intervals) for m, part in parts.items()}
      for index, score in labels.scores[video].items():
        name = f'{video}[{index}]'
        missing = [m for m in modalities if not len(frames[m][index])]
        if len(missing) == len(modalities):
          left_out[name] = 'no modality has a frame in its interval'
        elif missing and data.missing == 'drop':
          left_out[name] = f'no frame of {", ".join(missing)} (config.data.missing is "drop")'
        else:
          if missing:
            masked[name] = missing
          loaded.append((name, video, score, {m: frames[m][index] for m in modalities}))
      progress.advance()
  if not loaded:
    raise UserError(f'{root / data.labels}: none of its {len(left_out)} clips could be used; the '
                    f'first, {next(iter(left_out.items()), "none")}; do the files belong together?')
  speaker_of, speaker_note = speakers_of({video for _, video, _, _ in loaded},
                                         root / data.speakers if data.speakers else None)
  notes = [speaker_note, *labels.notes, *(note for p in parts.values() for note in p.notes())]
  if masked:
    counts = collections.Counter(m for missing in masked.values() for m in missing)
    notes.append('clips kept with a modality masked: '
                 + ', '.join(f'{m} {n}' for m, n in sorted(counts.items()))
                 + f' (first: {next(iter(masked))}).')
  if left_out:
    notes.append(f'{len(left_out)} labelled clips left out: '
                 + '; '.join(f'{name}: {why}' for name, why in left_out.items()) + '.')
  return Corpus(
      names=tuple(name for name, *_ in loaded),
      speakers=tuple(speaker_of[video] for _, video, *_ in loaded),
      labels=np.array([score for _, _, score, _ in loaded], np.float32),
      clips=_pack([frames for *_, frames in loaded], {m: p.width for m, p in parts.items()}),
      left_out=left_out, notes=tuple(notes), sampling={m: p.sampling() for m, p in parts.items()})


@dataclasses.dataclass(frozen=True)
class _Labels:
  intervals: dict[str, np.ndarray]
  scores: dict[str, dict[int, float]]
  left_out: dict[str, str]
  notes: list[str]


def _read_labels(path: pathlib.Path) -> _Labels:
  intervals, scores, left_out, instants = {}, {}, {}, []
  with csd.ComputationalSequence(path) as sequence:
    if sequence.width() != 1:
      raise UserError(f'{path}: labels are {sequence.width()} wide, expected 1 sentiment score a '
                      'clip; is this the opinion labels file?')
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


class _ModalityReader(contextlib.AbstractContextManager):
  """Cuts one file's frames into clips, and counts what it had to mend."""

  def __init__(self, path: pathlib.Path, max_steps: int, rate: float | None):
    self._sequence = csd.ComputationalSequence(path)
    self._max_steps, self._rate = max_steps, rate
    self.width = self._sequence.width()
    self._counts, self._rates = collections.Counter(), []
    self._num_cut = self._num_averaged = 0  # clips, videos

  def __exit__(self, *exception) -> None:
    self._sequence.close()

  def frames(self, video: str, intervals: np.ndarray) -> list[np.ndarray]:
    """Frames of each clip of `video`: a list of [t, D] float32, t at most `max_steps`."""
    if video not in self._sequence.videos:
      return [np.zeros((0, self.width), np.float32)] * len(intervals)
    features, spans = self._sequence.read(video)
    if features.shape[1] != self.width:
      raise UserError(f'{self._sequence.path}: video {video} is {features.shape[1]} wide, the '
                      f'others {self.width}; every video must have the same columns.')
    usable = align.valid_intervals(spans)
    self._counts['frames without a valid interval left out'] += int((~usable).sum())
    features, spans = features[usable], spans[usable]
    order = np.argsort(spans[:, 0], kind='stable')
    features, spans = features[order], spans[order]
    rate = resample.rate_of(spans)
    self._rates += [rate] if rate is not None else []
    member = align.frames_of_clips(intervals, spans)
    if resample.is_faster(rate, self._rate):
      self._num_averaged += 1
      self._counts['non-finite values left out of means'] += int((~np.isfinite(features)).sum())
      clips = [resample.average(features[row], spans[row], clip, self._rate)
               for row, clip in zip(member, intervals)]
      return [self._cut(self._finite(clip)) for clip in clips]
    features = self._finite(features)
    return [self._cut(features[row]) for row in member]

  def _finite(self, features: np.ndarray) -> np.ndarray:
    finite = np.isfinite(features)
    self._counts['non-finite values set to 0'] += int((~finite).sum())
    return np.where(finite, features, np.float32(0))

  def _cut(self, clip: np.ndarray) -> np.ndarray:
    self._num_cut += len(clip) > self._max_steps
    return clip[:self._max_steps]

  def sampling(self) -> resample.Sampling:
    """The rates of what was read so far, and how much was cut."""
    file_rate = float(np.median(self._rates)) if self._rates else None
    averaged = resample.is_faster(file_rate, self._rate)
    return resample.Sampling(file_rate, self._rate if averaged else file_rate, self._num_cut)

  def notes(self) -> list[str]:
    name, sampling = self._sequence.path.name, self.sampling()
    notes = []
    if self._num_averaged:
      notes.append(f'{name}: {sampling.file_rate:.4g} frames a second (median over videos), averaged '
                   f'to {self._rate:g} in {self._num_averaged} of {len(self._rates)} videos '
                   '(config.data.frames_per_second).')
    counts = self._counts | {f'clips cut to {self._max_steps} steps': self._num_cut}
    return notes + [f'{name}: {what}: {count}.' for what, count in counts.items() if count]


def _pack(clips: list[dict[str, np.ndarray]], widths: dict[str, int]) -> Clips:
  """Pads each modality to its longest clip."""
  sequences, masks = {}, {}
  for modality, width in widths.items():
    lengths = np.array([len(frames[modality]) for frames in clips])
    steps = max(1, lengths.max())
    sequences[modality] = np.zeros((len(clips), steps, width), np.float32)
    masks[modality] = np.arange(steps) < lengths[:, None]
    for row, frames in zip(sequences[modality], clips):
      row[:len(frames[modality])] = frames[modality]
  return Clips(sequences, masks)


def users_by_clips(corpus: Corpus) -> list[tuple[str, int]]:
  """Speakers with their number of clips, most clips first, ties by name."""
  counts = collections.Counter(corpus.speakers)
  return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
