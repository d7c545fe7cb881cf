"""Prediction of any clips of the corpus, on the device, in chunks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from persona_jax.data import normalize
from persona_jax.model.build import PersonalPredictor, call
from persona_jax.model.heads import READ
from persona_jax.types import Array, Clips, Normaliser, Params

CHUNK = 32  # clips predicted at a time: the activations of more would leave the caches


def gather(clips: Clips, normaliser: Normaliser, indices: Array) -> Clips:
  """The clips at `indices` [B], standardised."""
  return Clips(
    {m: normalize.apply(normaliser, m, x[indices]) for m, x in clips.sequences.items()},
    {m: x[indices] for m, x in clips.masks.items()},
  )


def predict(
  model: PersonalPredictor, params: Params, normaliser: Normaliser, clips: Clips, indices: Array
) -> Array:
  """Predicts sentiment [n] of the clips at `indices` [n], without dropout."""

  def one_chunk(chosen):
    return call(model, params, gather(clips, normaliser, chosen))

  return _in_chunks(one_chunk, indices)


def predict_and_read(
  model: PersonalPredictor, params: Params, normaliser: Normaliser, clips: Clips, indices: Array
) -> tuple[Array, Array]:
  """As `predict`, with what the user token's head reads of each clip: [n], [n, width read]."""

  def one_chunk(chosen):
    predictions, state = model.apply(
      {'params': params}, gather(clips, normaliser, chosen), mutable=READ
    )
    (steps,) = state[READ]['base']['heads']['steps']
    return predictions, jnp.asarray(steps)[:, 0]

  return _in_chunks(one_chunk, indices)


def _in_chunks(function: Callable[[Array], Any], indices: Array) -> Any:
  """`function` of every chunk of `indices` [n], joined: [n, ...]."""
  (count,) = indices.shape
  chunk = min(CHUNK, count)
  padded = jnp.pad(indices, (0, -count % chunk)).reshape(-1, chunk)
  return jax.tree.map(
    lambda rows: rows.reshape(-1, *rows.shape[2:])[:count], lax.map(function, padded)
  )
