"""Prediction of any clips of the corpus, on the device, in chunks."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from persona_jax.data import batching, normalize
from persona_jax.data.buckets import Buckets
from persona_jax.model.build import PersonalPredictor, call
from persona_jax.model.heads import READ
from persona_jax.types import Array, Clips, Normaliser, Params, RaggedClips

_PORTION = 4096  # clips that lie on the device together
CHUNK = 32  # clips predicted at a time: the activations of more would leave the caches


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
  """Predicts sentiment [n] of standardised clips [n], without dropout."""
  return call(model, params, clips)


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
  count = len(next(iter(clips.masks.values())))
  return _in_chunks(
    lambda chosen: function(standardised(clips.at(chosen), normaliser)), jnp.arange(count)
  )


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
  parts = []
  for of_bucket, length in zip(indices, steps, strict=True):
    if len(of_bucket):

      def chunk(chosen: Array, length: Mapping[str, int] = length) -> Any:
        return function(gather(clips, normaliser, chosen, length))

      parts.append(_in_chunks(chunk, of_bucket))
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

  @jax.jit
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


def _in_chunks(function: Callable[[Array], Any], indices: Array) -> Any:
  """`function` of every chunk of `indices` [n], joined: [n, ...]."""
  (count,) = indices.shape
  chunk = min(CHUNK, count)
  padded = jnp.pad(indices, (0, -count % chunk)).reshape(-1, chunk)
  return jax.tree.map(
    lambda rows: rows.reshape(-1, *rows.shape[2:])[:count], lax.map(function, padded)
  )
