"""How clips come to the devices: all of them once; or where they don't fit, those of each call."""

import functools
import logging
from collections.abc import Callable, Sequence

import numpy as np
from jax.sharding import Mesh

from persona_jax.data import batching
from persona_jax.data.buckets import Buckets
from persona_jax.data.corpus import Corpus
from persona_jax.runtime import parallel
from persona_jax.training.steps import Shared

_LOG = logging.getLogger(__name__)
Placing = Callable[[np.ndarray], np.ndarray]  # indices into the corpus -> places among what is fed


class Feed:
  """The clips of a corpus, for programs that take a `Shared` and indices into it.

  Results do not depend on how clips come to the devices, since programs gather the same frames
  either way.

  Attributes:
    streams: whether clips are brought for each call, as they are in a file or in host memory.
  """

  def __init__(self, corpus: Corpus, buckets: Buckets, mesh: Mesh):
    self._corpus, self._buckets, self._mesh = corpus, buckets, mesh
    size = sum(np.asarray(frames).nbytes for frames in corpus.clips.frames.values())
    self.streams = size > parallel.feature_bytes()
    if self.streams:
      _LOG.info('%.1f GB of features are streamed, since the devices have less room.', size / 1e9)

  def of(
    self, clips: np.ndarray, most: Sequence[int], shapes_alone: bool = False
  ) -> tuple[Shared, Placing]:
    """What a call needs on the devices, and where its clips are there.

    Args:
      clips: indices into the corpus of all clips that the call uses.
      most: per bucket, the most clips of any such call; programs are compiled for so many.
      shapes_alone: as of `parallel.replicate`.
    """
    if not self.streams:
      everything = self._everything(shapes_alone=True) if shapes_alone else self._all
      return everything, lambda indices: indices
    own = np.unique(clips)
    rows = {
      m: sum(count * steps[m] for count, steps in zip(most, self._buckets.steps, strict=True))
      for m in self._corpus.clips.frames
    }
    labels = np.zeros(sum(most), np.float32)
    labels[: len(own)] = self._corpus.labels[own]
    shared = Shared(self._corpus.clips.subset(own, len(labels), rows), labels)
    place = functools.partial(batching.places_among, own)
    return parallel.replicate(shared, self._mesh, shapes_alone), place

  @functools.cached_property
  def _all(self) -> Shared:
    return self._everything(shapes_alone=False)

  def _everything(self, shapes_alone: bool) -> Shared:
    shared = Shared(self._corpus.clips, self._corpus.labels)
    return parallel.replicate(shared, self._mesh, shapes_alone)
