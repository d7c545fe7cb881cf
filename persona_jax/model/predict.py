"""Prediction of any clips of the corpus, on the device, in chunks."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from persona_jax.data import batching, normalize
from persona_jax.data.batching import Indices
from persona_jax.data.buckets import Buckets
from persona_jax.model.build import PersonalPredictor, call
from persona_jax.model.heads import READ
from persona_jax.runtime import compiling, parallel
from persona_jax.types import Array, Clips, Normaliser, Params, RaggedClips

_PORTION = 4096  # clips that lie on the device together
CHUNK = 32  # clips predicted at a time: the activations of more would leave the caches
_FEW = 8  # clips of a user predicted at a time, so that little of what is computed is padding
_SHARE = 16  # clips per core; another core is not worth it for fewer


def gather(
  clips: RaggedClips, normaliser: Normaliser, indices: Array, steps: Mapping[str, int]
) -> Clips:
  """The clips at `indices` [B], standardised and padded to `steps`, {modality: T_m}."""
  return standardised(clips.padded(indices, steps), normaliser)


def standardised(clips: Clips, normaliser: Normaliser) -> Clips:
  """A batch whose features are standardised."""
  sequences = {m: normalize.apply(normaliser, m, x) for m, x in clips.sequences.items()}
  return Clips(sequences, clips.masks)


def predict(model: PersonalPredictor, params: Params, clips: Clips) -> Array:
  """Predicts sentiment [n] of standardised clips [n], without dropout.

  Programs that predict clips of one shape with one model share its trace.
  """
  return _traced(_Same(model))(params, clips)


class _Same:
  """A model, equal to none but itself: its attributes need not be hashable."""

  def __init__(self, model: PersonalPredictor):
    self.model = model

  def __hash__(self) -> int:
    return id(self.model)

  def __eq__(self, other: object) -> bool:
    return isinstance(other, _Same) and self.model is other.model


@functools.lru_cache
def _traced(same: _Same) -> Callable[[Params, Clips], Array]:
  return jax.jit(functools.partial(call, same.model), inline=True)


def predict_and_read(model: PersonalPredictor, params: Params, clips: Clips) -> tuple[Array, Array]:
  """As `predict`, with what the user token's head reads of each clip: [n], [n, width read]."""
  predictions, state = model.apply({'params': params}, clips, mutable=READ)
  (steps,) = state[READ]['base']['heads']['steps']
  return predictions, jnp.asarray(steps)[:, 0]


def of_batch(function: Callable[[Clips], Any], clips: Clips, normaliser: Normaliser) -> Any:
  """`function` of standardised clips, `CHUNK` at a time: [n, ...].

  Args:
    function: of `predict`, say, with its model and parameters bound.
  """

  def of_share(own: Clips) -> Any:
    count = len(next(iter(own.masks.values())))
    return _in_chunks(
      lambda chosen: function(standardised(own.at(chosen), normaliser)), jnp.arange(count), CHUNK
    )

  return parallel.over_clips(of_share, clips, _SHARE)


def of_corpus(
  function: Callable[[Clips], Any],
  clips: RaggedClips,
  normaliser: Normaliser,
  indices: Sequence[Array],
  steps: Sequence[Mapping[str, int]],
) -> Any:
  """`function` of clips of the corpus, `CHUNK` at a time, one bucket behind the other: [n, ...].

  Args:
    function: as of `of_batch`.
    indices: [n_b] of every bucket, whose sizes add up to n; one of them may be empty.
    steps: {modality: T_m} of every bucket.
  """
  return _of_buckets(
    lambda length, of_bucket: _in_chunks(
      lambda chosen: function(gather(clips, normaliser, chosen, length)), of_bucket, CHUNK
    ),
    indices,
    steps,
  )


def of_user(
  function: Callable[[Clips], Array],
  clips: RaggedClips,
  normaliser: Normaliser,
  indices: Sequence[Indices],
  steps: Sequence[Mapping[str, int]],
) -> Array:
  """`of_corpus` for users who differ in how many clips they have: [n].

  A few clips are predicted at a time. Where all of them are padding, the result is 0, and on CPUs
  nothing is computed.

  Args:
    indices: [n_b] of every bucket.
  """

  def of_bucket(length: Mapping[str, int], own: Indices) -> Array:
    def chunk(part: Indices) -> Array:
      return lax.cond(
        jnp.any(part.weights > 0),
        lambda chosen: function(gather(clips, normaliser, chosen, length)),
        lambda chosen: jnp.zeros(chosen.shape),
        part.clips,
      )

    return _in_chunks(chunk, own, _FEW)

  return _of_buckets(of_bucket, indices, steps)


def _of_buckets(
  function: Callable[[Mapping[str, int], Any], Any],
  indices: Sequence[Any],
  steps: Sequence[Mapping[str, int]],
) -> Any:
  """`function` of the steps and indices of every bucket that has any, joined."""
  parts = [
    function(length, own)
    for length, own in zip(steps, indices, strict=True)
    if len(jax.tree.leaves(own)[0])
  ]
  return jax.tree.map(lambda *rows: jnp.concatenate(rows), *parts)


def at_once(
  function: Callable[[Params, Clips], Any],
  params: Params,
  clips: RaggedClips,
  normaliser: Normaliser,
  indices: np.ndarray,
  buckets: Buckets,
) -> Any:
  """Compiles and runs `function` for clips of the corpus; host arrays [n, ...].

  The clips are brought to the device a few thousand at a time.

  Args:
    function: of parameters and standardised clips, such as `predict` with its model bound.
    clips: host arrays.
    indices: [n] of the clips, in any order.
    buckets: of the corpus.
  """
  portions = [indices[start : start + _PORTION] for start in range(0, len(indices), _PORTION)]
  sizes = buckets.sizes(portions)
  num_rows = {
    m: sum(size * steps[m] for size, steps in zip(sizes, buckets.steps, strict=True))
    for m in clips.frames
  }

  @compiling.jit
  def run(params: Params, normaliser: Normaliser, clips: RaggedClips, chosen: Any) -> Any:
    bound = functools.partial(function, params)
    return of_corpus(bound, clips, normaliser, chosen, buckets.steps)

  found = []
  for portion in portions:
    own = np.unique(portion)
    brought = clips.subset(own, sum(sizes), num_rows)
    chosen = [batching.places_among(own, part.clips) for part in buckets.pad(portion, sizes)]
    rows = jax.device_get(run(params, normaliser, brought, chosen))
    found.append(jax.tree.map(lambda each, its=portion: buckets.restore(its, sizes, each), rows))
  return jax.tree.map(lambda *parts: np.concatenate(parts), *found)


def _in_chunks(function: Callable[[Any], Any], indices: Any, most: int) -> Any:
  """`function` of every chunk of `indices` [n], or a tree of such, joined: [n, ...]."""
  (count,) = jax.tree.leaves(indices)[0].shape
  chunk = min(most, count)
  padded = jax.tree.map(lambda x: jnp.pad(x, (0, -count % chunk)).reshape(-1, chunk), indices)
  return jax.tree.map(
    lambda rows: rows.reshape(-1, *rows.shape[2:])[:count], lax.map(function, padded)
  )
