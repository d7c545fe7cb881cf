"""The corpus on the host: every clip's sequences, label and speaker, and what was left out."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike

from persona_jax.data.resample import Sampling
from persona_jax.types import Array, RaggedClips


@dataclasses.dataclass(frozen=True)
class Corpus:
  """All clips, one behind the other.

  Attributes:
    names: [N] clip names, `<video>[<index>]`, index counted in the labels file.
    speakers: [N] speaker of each clip.
    labels: [N] float32 sentiment, -3 to 3.
    clips: the frames of every clip.
    left_out: {clip: reason} of every labelled clip that is not here.
    notes: sentences that a reader of the results should know, such as how speakers were told apart.
    sampling: {modality: how its file was sampled}; empty for a synthetic corpus.
    oracle: [N] predictions of an oracle that knows the speakers' personas; None for real data.
  """

  names: tuple[str, ...]
  speakers: tuple[str, ...]
  labels: np.ndarray
  clips: RaggedClips
  left_out: dict[str, str]
  notes: tuple[str, ...]
  sampling: dict[str, Sampling] = dataclasses.field(default_factory=dict)
  oracle: np.ndarray | None = None

  def __post_init__(self):
    assert len(self.names) == len(self.speakers) == len(self.labels)
    assert len(set(self.names)) == len(self.names)


def join_clips(
  clips: Sequence[Mapping[str, np.ndarray]],
  widths: Mapping[str, int],
  dtype: DTypeLike = np.float32,
) -> RaggedClips:
  """Joins the frames of clips.

  Args:
    clips: of every clip, {modality: [t, D_m]}.
    widths: {modality: D_m}.
    dtype: that frames are kept in.
  """
  joined: dict[str, np.ndarray] = {}
  starts: dict[str, Array] = {}
  lengths: dict[str, Array] = {}
  for modality, width in widths.items():
    each = np.array([len(clip[modality]) for clip in clips], np.int32)
    frames = np.zeros((max(1, int(each.sum(dtype=np.int64))), width), dtype)
    ends = each.cumsum(dtype=np.int64)
    for end, clip in zip(ends, clips, strict=True):
      frames[end - len(clip[modality]) : end] = clip[modality]
    joined[modality], lengths[modality] = frames, each
    starts[modality] = np.minimum(ends - each, len(frames) - 1).astype(np.int32)
  return RaggedClips(dict(joined), starts, lengths)


def fingerprint(corpus: Corpus) -> dict[str, str]:
  """SHA-256 of what a result depends on: clip names and speakers, labels, each modality."""
  names = repr(list(zip(corpus.names, corpus.speakers, strict=True))).encode()
  parts: dict[str, list[bytes | Array]] = {'clips': [names], 'labels': [corpus.labels]}
  for modality, frames in corpus.clips.frames.items():
    parts[modality] = [repr(frames.shape).encode(), frames, corpus.clips.lengths[modality]]
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
