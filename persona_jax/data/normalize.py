"""Column-wise standardisation, fitted on a fold's training clips and applied on the device."""

import numpy as np

from persona_jax.types import Array, Clips, Config, Normaliser

CONSTANT = 1e-6  # a column whose deviation is below this share of its magnitude is constant


def fit(clips: Clips, train: np.ndarray, config: Config) -> Normaliser:
  """Fits mean and standard deviation of every column over the valid frames of `train`.

  Sums run in float64, since openSMILE's columns differ by five orders of magnitude. A column that
  is constant in training gets inverse scale 0: it carries nothing to learn from, and a held-out
  speaker who differs there cannot blow up. Standardised columns are scaled to `config.deviation`:
  at 1 they would enter the model larger than word vectors do, and a predictor learns its speakers'
  habits of voice and face before it learns the words that carry over to others. They are clipped at
  `config.limit` standard deviations: heavy tails would drown what the rest of a column says.

  Args:
    clips: the corpus, host arrays.
    train: [n] indices of the fold's training clips; no other clip is looked at.
    config: `config.normalise`; modalities that it does not name pass unchanged.
  """
  mean, inverse_scale, limit = {}, {}, {}
  for modality, sequence in clips.sequences.items():
    width = sequence.shape[-1]
    mean[modality] = np.zeros(width, np.float32)
    inverse_scale[modality] = np.ones(width, np.float32)
    limit[modality] = np.float32(
      config.limit * config.deviation if modality in config.modalities else np.inf
    )
    if modality not in config.modalities:
      continue
    frames = sequence[train][clips.masks[modality][train]].astype(np.float64)
    if not len(frames):
      continue
    centre, deviation = frames.mean(axis=0), frames.std(axis=0)
    varies = deviation > CONSTANT * np.maximum(np.abs(frames).max(axis=0), 1e-30)
    mean[modality] = centre.astype(np.float32)
    inverse = np.where(varies, config.deviation / np.where(varies, deviation, 1), 0)
    inverse_scale[modality] = inverse.astype(np.float32)
  return Normaliser(mean, inverse_scale, limit)


def apply(normaliser: Normaliser, modality: str, sequence: Array) -> Array:
  """Standardises [..., D_m]; numpy in, numpy out, and the same under jax."""
  scaled = (sequence - normaliser.mean[modality]) * normaliser.inverse_scale[modality]
  return scaled.clip(-normaliser.limit[modality], normaliser.limit[modality])
