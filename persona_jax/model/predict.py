"""Prediction of any clips of the corpus, on the device, in chunks."""

import jax.numpy as jnp
from jax import lax

from persona_jax.data import normalize
from persona_jax.model.build import PersonalPredictor, call
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
  (count,) = indices.shape
  chunk = min(CHUNK, count)
  padded = jnp.pad(indices, (0, -count % chunk)).reshape(-1, chunk)

  def one_chunk(chosen):
    return call(model, params, gather(clips, normaliser, chosen))

  return lax.map(one_chunk, padded).reshape(-1)[:count]
