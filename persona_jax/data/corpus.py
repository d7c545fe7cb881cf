"""The corpus on the host: every clip's sequences, label and speaker, and what was left out."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from persona_jax.data.resample import Sampling
from persona_jax.types import Array, Clips


@dataclasses.dataclass(frozen=True)
class Corpus:
  """All clips, padded to common lengths.

  Attributes:
    names: [N] clip names, `<video>[<index>]`, index counted in the labels file.
    speakers: [N] speaker of each clip.
    labels: [N] float32 sentiment, -3 to 3.
    clips: sequences [N, T_m, D_m] and masks [N, T_m].
    left_out: {clip: reason} of every labelled clip that is not here.
    notes: sentences that a reader of the results should know, such as how speakers were told apart.
    sampling: {modality: how its file was sampled}; empty for a synthetic corpus.
    oracle: [N] predictions of an oracle that knows the speakers' personas; None for real data.
  """

  names: tuple[str, ...]
  speakers: tuple[str, ...]
  labels: np.ndarray
  clips: Clips
  left_out: dict[str, str]
  notes: tuple[str, ...]
  sampling: dict[str, Sampling] = dataclasses.field(default_factory=dict)
  oracle: np.ndarray | None = None

  def __post_init__(self):
    assert len(self.names) == len(self.speakers) == len(self.labels)
    assert len(set(self.names)) == len(self.names)


def pad_clips(
  frames: Sequence[Mapping[str, np.ndarray]],
  widths: Mapping[str, int],
  steps: Mapping[str, int] | None = None,
) -> Clips:
  """Pads the clips' sequences to common lengths.

  Args:
    frames: of every clip, {modality: [t, D_m]}.
    widths: {modality: D_m}.
    steps: {modality: T_m}; None pads each modality to its longest clip.
  """
  sequences, masks = {}, {}
  for modality, width in widths.items():
    lengths = np.array([len(clip[modality]) for clip in frames])
    length = steps[modality] if steps else max(1, lengths.max())
    sequences[modality] = np.zeros((len(frames), length, width), np.float32)
    masks[modality] = np.arange(length) < lengths[:, None]
    for padded, clip in zip(sequences[modality], frames, strict=True):
      padded[: len(clip[modality])] = clip[modality]
  return Clips(sequences, masks)


def fingerprint(corpus: Corpus) -> dict[str, str]:
  """SHA-256 of what a result depends on: clip names and speakers, labels, each modality."""
  names = repr(list(zip(corpus.names, corpus.speakers, strict=True))).encode()
  parts: dict[str, list[bytes | Array]] = {'clips': [names], 'labels': [corpus.labels]}
  for modality, sequence in corpus.clips.sequences.items():
    parts[modality] = [repr(sequence.shape).encode(), sequence, corpus.clips.masks[modality]]
  return {part: _sha256(contents) for part, contents in parts.items()}


def _sha256(contents: Iterable[bytes | Array]) -> str:
  digest = hashlib.sha256()
  for content in contents:
    digest.update(content if isinstance(content, bytes) else np.ascontiguousarray(content).data)
  return digest.hexdigest()


def users_by_clips(corpus: Corpus) -> list[tuple[str, int]]:
  """Returns the speakers with their numbers of clips, most clips first, ties by name."""
  counts = collections.Counter(corpus.speakers)
  return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
