"""The one shape legend, and the two containers that cross module borders.

Shapes are written in square brackets with these letters, everywhere in the package:

  N   clips of the corpus          B   clips of a batch
  T   steps of a sequence (T_m of modality m, T_q of queries, T_k of keys)
  D   width of a feature (D_m of modality m)
  E   width of the model           H   attention heads
  P   learnable tokens (prompt length) a modality
  F   folds, one held-out speaker each
  R   draws of a support set (random few-shot trials)
  K   support clips (shots)

Sentiment is in the corpus's own unit, -3 (strongly negative) to 3 (strongly positive).
"""

from typing import Any, NamedTuple

MODALITIES = ('language', 'audio', 'vision')

Array = Any  # numpy.ndarray or jax.Array
Params = Any  # a pytree of arrays, {'adapter': ..., 'base': ...}


class Clips(NamedTuple):
  """A batch of clips, or the whole corpus (then B is N).

  Attributes:
    sequences: {modality: [B, T_m, D_m] float32}, anything where the mask is False.
    masks: {modality: [B, T_m] bool}, True where a frame exists.
  """

  sequences: dict[str, Array]
  masks: dict[str, Array]


class Normaliser(NamedTuple):
  """Per-modality affine statistics of one fold; see `persona_jax.data.normalize`.

  Attributes:
    mean: {modality: [D_m] float32}.
    inverse_scale: {modality: [D_m] float32}, 0 for a column that training clips never vary.
    limit: {modality: [] float32}, the largest standardised magnitude; inf leaves it open.
  """

  mean: dict[str, Array]
  inverse_scale: dict[str, Array]
  limit: dict[str, Array]
