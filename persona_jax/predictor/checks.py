"""Checks of the clips and labels that people give, each with one clear sentence."""

from collections.abc import Mapping, Sequence

import numpy as np

from persona_jax.errors import UserError
from persona_jax.targets import SENTIMENT
from persona_jax.types import Clips


def num_clips(clips: Clips, widths: Mapping[str, int]) -> int:
  """Returns the number of clips, if all have features of these widths.

  Raises:
    UserError: a modality is missing, of another shape, or not finite.
  """
  if missing := set(widths) - (set(clips.sequences) & set(clips.masks)):
    raise UserError(
      f'clips: no {sorted(missing)[0]}; where a clip lacks it, give a mask without a frame.'
    )
  counts = set()
  for modality, width in widths.items():
    found, mask = (np.asarray(part[modality]) for part in clips)
    if found.ndim != 3 or found.shape[2] != width or mask.shape != found.shape[:2]:
      raise UserError(
        f'clips: {modality} of shape {list(found.shape)}, mask {list(mask.shape)}: expected '
        f'[clips, steps, {width}] and [clips, steps], as the predictor was trained on.'
      )
    if not np.isfinite(np.where(mask[..., None], found, 0)).all():
      raise UserError(f'clips: a value of {modality} is not finite.')
    counts.add(len(found))
  if len(counts) != 1 or not min(counts):
    raise UserError(
      f'clips: {" or ".join(map(str, sorted(counts)))} clips; expected at least one, and the same '
      'number for every modality.'
    )
  return counts.pop()


def expect_no_longer(clips: Clips, steps: Mapping[str, int]) -> None:
  """Raises `UserError` if a sequence is longer than in training.

  Args:
    clips: [n].
    steps: {modality: T_m} in training.
  """
  for modality, longest in steps.items():
    if (found := clips.sequences[modality].shape[1]) > longest:
      raise UserError(
        f'clips: {modality} of {found} steps, expected at most {longest}, as in training; cut the '
        "end. The model attends to padding (config.model.attention='reference')."
      )


def labels(
  given: Sequence[float] | np.ndarray, count: int, names: Sequence[str] | None
) -> np.ndarray:
  """Returns the labels [n] as float32, if there is one from -3 to 3 per clip.

  Raises:
    UserError: there are more or fewer, or one is outside of the range.
  """
  found = np.asarray(given, np.float32)
  if found.shape != (count,):
    raise UserError(f'labels of shape {list(found.shape)}: expected one per clip, [{count}].')
  for place, label in enumerate(found):
    if not SENTIMENT.holds(label):  # also where it is not a number
      name = str(place) if names is None else repr(names[place])
      raise UserError(f'clip {name}: label {label}, expected {SENTIMENT.range}.')
  return found
