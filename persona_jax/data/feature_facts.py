"""What the features of a corpus hold: the frames of its clips, looked at a few clips at a time."""

import dataclasses

import numpy as np

from persona_jax.data import releases
from persona_jax.data.corpus import Corpus, frames_of
from persona_jax.data.normalize import CONSTANT
from persona_jax.errors import UserError
from persona_jax.types import Config

PERCENTILES = (50, 90, 95, 99, 100)


@dataclasses.dataclass(frozen=True)
class ModalityFacts:
  """One modality's features, over the frames that clips have before they are cut.

  Attributes:
    width: columns.
    looks_like: the published features that have this width, if any.
    num_frames: of all clips.
    file_rate, rate: frames a second, in the file and as used; None where unknown.
    num_without: clips without a frame.
    num_zero: frames that are 0 in every column.
    constant: columns that have one value in all frames.
    lengths: {percentile: frames of a clip}, over clips with a frame; 100 is the longest.
    max_steps: the frames that a clip may have; None for no limit.
    clips_cut, frames_cut: clips that are longer, and the frames that they lose.
  """

  width: int
  looks_like: str | None
  num_frames: int
  file_rate: float | None
  rate: float | None
  num_without: int
  num_zero: int
  constant: tuple[int, ...]
  lengths: dict[int, float]
  max_steps: int | None
  clips_cut: int
  frames_cut: int


def uncut(config: Config) -> Config:
  """The config without a limit on the length of clips."""
  config = config.copy_and_resolve_references()
  for modality in config.data.get('max_steps', ()):
    config.data.max_steps[modality] = 2**31
  return config


def of_modality(corpus: Corpus, modality: str, config: Config) -> tuple[ModalityFacts, np.ndarray]:
  """A modality's facts, and the lengths [N] of its clips, in a corpus loaded as `uncut` says."""
  width = corpus.clips.widths[modality]
  low, high = np.full(width, np.inf), np.full(width, -np.inf)
  num_zero, lengths = 0, []
  for frames, of_clips in frames_of(corpus.clips, modality):
    lengths.append(of_clips)
    num_zero += int((frames == 0).all(axis=1).sum())
    if len(frames):
      low, high = np.minimum(low, frames.min(axis=0)), np.maximum(high, frames.max(axis=0))
  lengths = np.concatenate(lengths)
  present = lengths[lengths > 0]
  constant = high - low <= CONSTANT * np.maximum(np.abs(low), np.abs(high)) if len(present) else []
  max_steps = config.data.get('max_steps', {}).get(modality)
  cut = np.maximum(lengths - (max_steps or np.inf), 0)
  sampling = corpus.sampling.get(modality)
  file_rate = sampling.file_rate if sampling else None
  facts = ModalityFacts(
    width=width,
    looks_like=releases.features_like(modality, width, file_rate),
    num_frames=int(lengths.sum()),
    file_rate=file_rate,
    rate=sampling.rate if sampling else None,
    num_without=int((lengths == 0).sum()),
    num_zero=num_zero,
    constant=tuple(np.flatnonzero(constant).tolist()),
    lengths={q: float(np.percentile(present, q)) if len(present) else 0.0 for q in PERCENTILES},
    max_steps=max_steps,
    clips_cut=int((cut > 0).sum()),
    frames_cut=int(cut.sum()),
  )
  return facts, lengths


def expect_something_to_learn(corpus: Corpus) -> None:
  """Raises `UserError` if all clips have the same label, or all lack the same modality."""
  if (corpus.labels == corpus.labels[0]).all():
    raise UserError(
      f'all {len(corpus.labels)} clips have the label {corpus.labels[0]:g}, which leaves nothing '
      'to learn; is config.data.labels the right file?'
    )
  modalities = list(corpus.clips.frames)
  for modality in modalities:
    if not np.any(corpus.clips.lengths[modality]):
      others = ','.join(other for other in modalities if other != modality) or 'others'
      raise UserError(
        f'none of the {len(corpus.names)} clips has a frame of {modality}; name a file that '
        f'belongs to these labels, or do without it by --config.model.modalities={others}.'
      )
