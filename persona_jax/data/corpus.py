"""The corpus on the host: every clip's sequences, label and speaker, and what was left out."""

import collections
import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from persona_jax.data.resample import Sampling
from persona_jax.types import Array, RaggedClips

_AT_ONCE = 64  # clips whose frames are looked at together


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


def frames_of(clips: RaggedClips, modality: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yields a few clips at a time: their frames [n, D] one behind the other, and lengths [c]."""
  lengths = np.asarray(clips.lengths[modality])
  for start in range(0, len(lengths), _AT_ONCE):
    places = np.arange(start, min(start + _AT_ONCE, len(lengths)))
    yield clips.rows(modality, places), lengths[places]


def num_rows(clips: RaggedClips, modality: str) -> int:
  """The rows of all clips' frames one behind the other; 1, of zeros, where no clip has any."""
  return max(1, int(np.asarray(clips.lengths[modality]).sum(dtype=np.int64)))


def rows_of(clips: RaggedClips, modality: str) -> Iterator[np.ndarray]:
  """Yields those rows, [n, D] of a few clips at a time."""
  if not np.any(clips.lengths[modality]):
    frames = clips.frames[modality]
    yield np.zeros((1, frames.shape[1]), frames.dtype)
  else:
    yield from (frames for frames, _ in frames_of(clips, modality))


def fingerprint(corpus: Corpus) -> dict[str, str]:
  """SHA-256 of what a result depends on: clip names and speakers, labels, each modality.

  Frames that no clip has, such as those that were cut off, do not count.
  """
  names = repr(list(zip(corpus.names, corpus.speakers, strict=True))).encode()
  parts: dict[str, Iterable[bytes | Array]] = {'clips': [names], 'labels': [corpus.labels]}
  for modality, width in corpus.clips.widths.items():
    shape = repr((num_rows(corpus.clips, modality), width)).encode()
    frames = rows_of(corpus.clips, modality)
    parts[modality] = itertools.chain([shape], frames, [corpus.clips.lengths[modality]])
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
