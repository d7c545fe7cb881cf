"""One modality's file, cut into clips at a common rate."""

import collections
import contextlib
import pathlib
from collections.abc import Sequence

import numpy as np

from persona_jax.data import align, csd, resample
from persona_jax.errors import UserError


class ModalityReader(contextlib.AbstractContextManager):
  """Cuts one file's frames into clips, and counts what it had to mend.

  Attributes:
    width: D of the file.
  """

  def __init__(self, path: pathlib.Path, max_steps: int, rate: float | None):
    """Opens `path`; clips are cut to `max_steps`, faster frames averaged to `rate` a second.

    Raises:
      UserError: the file is missing or malformed.
    """
    self._sequence = csd.ComputationalSequence(path)
    self._max_steps, self._rate = max_steps, rate
    self.width, self._entries = self._sequence.width(), frozenset(self._sequence.videos)
    self._counts, self._rates = collections.Counter(), []
    self._num_cut = self._num_averaged = 0  # clips, videos

  def __exit__(self, *exception) -> None:
    self._sequence.close()

  def frames(self, video: str, names: Sequence[str], intervals: np.ndarray) -> list[np.ndarray]:
    """Frames of clips of `video`: a list of [t, D] float32, t at most `max_steps`.

    A clip that has an entry of its own in the file has all frames of it; the others have those of
    the video that share time with them.

    Args:
      names: of the clips, `<video>[<index>]`.
      intervals: [n, 2] of the clips, seconds.

    Raises:
      UserError: the video is damaged, or not as wide as the others.
    """
    if video in self._entries:
      clips = self._of_video(video, intervals)
    else:
      clips = [np.zeros((0, self.width), np.float32)] * len(intervals)
    return [
      self._of_entry(name) if name in self._entries else clip
      for name, clip in zip(names, clips, strict=True)
    ]

  def _of_entry(self, name: str) -> np.ndarray:
    """All frames of an entry that is one clip, in the order of the file."""
    features, spans = self._read(name)
    whole = np.array([[spans[:, 0].min(), spans[:, 1].max()]]) if len(spans) else np.zeros((1, 2))
    return self._at_rate(features, spans, whole, np.ones((1, len(spans)), bool))[0]

  def _of_video(self, video: str, intervals: np.ndarray) -> list[np.ndarray]:
    features, spans = self._read(video)
    order = np.argsort(spans[:, 0], kind='stable')
    features, spans = features[order], spans[order]
    return self._at_rate(features, spans, intervals, align.frames_of_clips(intervals, spans))

  def _read(self, entry: str) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, D] and spans [n, 2] of the frames that have a valid span."""
    features, spans = self._sequence.read(entry)
    if features.shape[1] != self.width:
      raise UserError(
        f'{self._sequence.path}: video {entry} is {features.shape[1]} wide, the '
        f'others {self.width}; every video must have the same columns.'
      )
    usable = align.valid_intervals(spans)
    self._counts['frames without a valid interval left out'] += int((~usable).sum())
    return features[usable], spans[usable]

  def _at_rate(
    self, features: np.ndarray, spans: np.ndarray, intervals: np.ndarray, member: np.ndarray
  ) -> list[np.ndarray]:
    """The frames [t, D] of each clip, of its members [num_clips, n]."""
    rate = resample.rate_of(spans)
    self._rates += [rate] if rate is not None else []
    if self._rate and resample.is_faster(rate, self._rate):
      self._num_averaged += 1
      self._counts['non-finite values left out of means'] += int((~np.isfinite(features)).sum())
      clips = [
        resample.average(features[row], spans[row], clip, self._rate)
        for row, clip in zip(member, intervals, strict=True)
      ]
      return [self._cut(self._finite(clip)) for clip in clips]
    features = self._finite(features)
    return [self._cut(features[row]) for row in member]

  def _finite(self, features: np.ndarray) -> np.ndarray:
    finite = np.isfinite(features)
    self._counts['non-finite values set to 0'] += int((~finite).sum())
    return np.where(finite, features, np.float32(0))

  def _cut(self, clip: np.ndarray) -> np.ndarray:
    self._num_cut += len(clip) > self._max_steps
    return clip[: self._max_steps]

  def sampling(self) -> resample.Sampling:
    """The rates of what was read so far, and how much was cut."""
    file_rate = float(np.median(self._rates)) if self._rates else None
    averaged = resample.is_faster(file_rate, self._rate)
    return resample.Sampling(file_rate, self._rate if averaged else file_rate, self._num_cut)

  def notes(self) -> list[str]:
    """Sentences on what was averaged, mended or cut, each with its count."""
    name, sampling = self._sequence.path.name, self.sampling()
    notes = []
    if self._num_averaged:
      notes.append(
        f'{name}: {sampling.file_rate:.4g} frames a second (median over videos), averaged '
        f'to {self._rate:g} in {self._num_averaged} of {len(self._rates)} videos '
        '(config.data.frames_per_second).'
      )
    counts = self._counts | {f'clips cut to {self._max_steps} steps': self._num_cut}
    return notes + [f'{name}: {what}: {count}.' for what, count in counts.items() if count]
