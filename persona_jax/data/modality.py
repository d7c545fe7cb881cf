"""One modality's file, cut into clips at a common rate."""

import collections
import contextlib
import pathlib

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
    self.width = self._sequence.width()
    self._counts, self._rates = collections.Counter(), []
    self._num_cut = self._num_averaged = 0  # clips, videos

  def __exit__(self, *exception) -> None:
    self._sequence.close()

  def frames(self, video: str, intervals: np.ndarray) -> list[np.ndarray]:
    """Frames of each clip of `video`: a list of [t, D] float32, t at most `max_steps`.

    Raises:
      UserError: the video is damaged, or not as wide as the others.
    """
    if video not in self._sequence.videos:
      return [np.zeros((0, self.width), np.float32)] * len(intervals)
    features, spans = self._sequence.read(video)
    if features.shape[1] != self.width:
      raise UserError(
        f'{self._sequence.path}: video {video} is {features.shape[1]} wide, the '
        f'others {self.width}; every video must have the same columns.'
      )
    usable = align.valid_intervals(spans)
    self._counts['frames without a valid interval left out'] += int((~usable).sum())
    features, spans = features[usable], spans[usable]
    order = np.argsort(spans[:, 0], kind='stable')
    features, spans = features[order], spans[order]
    rate = resample.rate_of(spans)
    self._rates += [rate] if rate is not None else []
    member = align.frames_of_clips(intervals, spans)
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
