"""What a predictor attends to: crossmodal attention of one clip (Tsai et al. 2019, figure 6)."""

import jax
import numpy as np

from persona_jax.model.attention import MAPS
from persona_jax.model.build import PersonalPredictor
from persona_jax.runtime import compiling, parallel
from persona_jax.types import Array, Clips, Params


def has_crossmodal(model: PersonalPredictor, params: Params, clips: Clips) -> bool:
  """Whether `onto_language` would find anything; nothing is computed."""
  _, state = jax.eval_shape(lambda p: model.apply({'params': p}, clips, mutable=MAPS), params)
  encoders = state.get(MAPS, {}).get('base', {})
  return any(_encoder(modality) in encoders for modality in clips.masks)


def _encoder(modality: str) -> str:
  return f'{modality}_from_language'


def program(model: PersonalPredictor) -> parallel.Program:
  """The program of `onto_language`: (parameters, a clip) -> what the model keeps of it."""
  return parallel.Program(
    jax.jit(
      lambda params, clips: model.apply({'params': params}, clips, mutable=MAPS)[1],
      compiler_options=compiling.options_of_one_call(0),  # one clip takes no time
    )
  )


def onto_language(
  of_model: parallel.Program, params: Params, clips: Clips
) -> dict[str, np.ndarray]:
  """How each other modality of a clip attends to the words, in the last crossmodal layer.

  Args:
    of_model: its `program`.
    clips: B = 1, standardised.

  Returns:
    {modality: [T_q, T_k]} means over heads. Rows are the modality's steps and columns the words,
    the tokens last, without padding. Empty if the base model has no crossmodal encoders.
  """
  encoders = of_model(params, clips)[MAPS]['base']
  maps = {}
  for modality, mask in clips.masks.items():
    name = _encoder(modality)
    if name in encoders:
      (weights,) = encoders[name]['layers']['layer']['attention']['weights']
      last = np.asarray(weights[-1, 0])
      maps[modality] = last[
        np.ix_(_steps(mask, last.shape[0]), _steps(clips.masks['language'], last.shape[1]))
      ]
  return maps


def _steps(mask: Array, length: int) -> np.ndarray:
  """[length] bool: the valid frames of the one clip, and the tokens behind all frames."""
  frames = np.asarray(mask)[0]
  return np.concatenate([frames, np.ones(length - len(frames), bool)])
