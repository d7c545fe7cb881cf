"""Column-wise standardisation, fitted on a fold's training clips and applied on the device."""

from collections.abc import Iterable, Iterator

import numpy as np

from persona_jax.types import Array, Config, Normaliser, RaggedClips

_CLIPS_AT_A_TIME = 256
CONSTANT = 1e-6  # a column whose deviation is below this share of its magnitude is constant


def fit(clips: RaggedClips, train: np.ndarray, config: Config) -> Normaliser:
  """Fits mean and standard deviation of every column over the valid frames of `train`.

  Sums run in float64 over a few clips at a time, since openSMILE's columns differ by five orders of
  magnitude. A column that is constant in training gets inverse scale 0: it carries nothing to learn
  from, and a held-out speaker who differs there cannot blow up. Standardised columns are scaled to
  `config.deviation`: at 1 they would enter the model larger than word vectors do, and a predictor
  learns its speakers' habits of voice and face before it learns the words that carry over to
  others. They are clipped at `config.limit` standard deviations: heavy tails would drown what the
  rest of a column says.

  Args:
    clips: of the corpus, host arrays.
    train: [n] indices of the fold's training clips; no other clip is looked at.
    config: `config.normalise`; modalities that it does not name pass unchanged.
  """
  mean, inverse_scale, limit = {}, {}, {}
  for modality, width in clips.widths.items():
    mean[modality] = np.zeros(width, np.float32)
    inverse_scale[modality] = np.ones(width, np.float32)
    limit[modality] = np.float32(
      config.limit * config.deviation if modality in config.modalities else np.inf
    )
    if modality not in config.modalities:
      continue
    count = clips.lengths[modality][train].sum(dtype=np.int64)
    if not count:
      continue
    centre = _sum(clips, train, modality) / count
    deviation = np.sqrt(_sum(clips, train, modality, centre) / count)
    largest = _reduced(np.maximum, map(np.abs, _frames(clips, train, modality)))
    varies = deviation > CONSTANT * np.maximum(largest, 1e-30)
    mean[modality] = centre.astype(np.float32)
    inverse = np.where(varies, config.deviation / np.where(varies, deviation, 1), 0)
    inverse_scale[modality] = inverse.astype(np.float32)
  return Normaliser(mean, inverse_scale, limit)


def _sum(
  clips: RaggedClips, places: np.ndarray, modality: str, centre: np.ndarray | None = None
) -> np.ndarray:
  """[D_m] the sum of the frames; or, given `centre` [D_m], of their squared differences from it."""
  parts = _frames(clips, places, modality)
  if centre is None:
    return _reduced(np.add, parts)
  return _reduced(np.add, (np.square(frames - centre) for frames in parts))


def _frames(clips: RaggedClips, places: np.ndarray, modality: str) -> Iterator[np.ndarray]:
  """The frames [n, D_m] of the clips at `places` in float64, a few clips at a time."""
  for first in range(0, len(places), _CLIPS_AT_A_TIME):
    some = places[first : first + _CLIPS_AT_A_TIME]
    yield clips.rows(modality, some).astype(np.float64)


def _reduced(operation: np.ufunc, parts: Iterable[np.ndarray]) -> np.ndarray:
  """Reduces the rows of all parts, one after the other, so that the parts' sizes change no bit."""
  result = None
  for part in parts:
    rows = part if result is None else np.concatenate([result[None], part])
    if len(rows):
      result = operation.reduce(rows, axis=0)
  assert result is not None, 'there is no row'
  return result


def apply(normaliser: Normaliser, modality: str, sequence: Array) -> Array:
  """Standardises [..., D_m]; numpy in, numpy out, and the same under jax."""
  scaled = (sequence - normaliser.mean[modality]) * normaliser.inverse_scale[modality]
  return scaled.clip(-normaliser.limit[modality], normaliser.limit[modality])
