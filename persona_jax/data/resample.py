"""Sequences at a common rate: frames that come faster are averaged.

CMU's files hold COVAREP at 100 frames a second
(https://github.com/A2Zadeh/CMU-MultimodalSDK/issues/186) and Facet at 30
(https://github.com/A2Zadeh/CMU-MultimodalSDK/issues/225). The paper's sequences have 12.5 and 15
(section 5.1), the rates of MulT's CMU-MOSI (Tsai et al. 2019, section 4). At these rates the 375
steps of audio and 500 of vision in MulT's public release last 30 and 33 s. MulT's CMU-MOSEI has 20
and 15 (https://github.com/yaohungt/Multimodal-Transformer/issues/21).
"""

import dataclasses

import numpy as np

TOLERANCE = 1.05  # a file's rate is faster than the one wanted if it is so many times as high


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How one modality's file was sampled, and what became of it.

  Attributes:
    file_rate: frames a second in the file, median over videos; None where no video has two frames.
    rate: frames a second in the corpus.
    num_cut: clips that were cut to `config.data.max_steps`.
  """

  file_rate: float | None
  rate: float | None
  num_cut: int


def rate_of(spans: np.ndarray) -> float | None:
  """Frames a second of one video's spans [n, 2] in seconds; None for fewer than two."""
  starts = np.unique(spans[:, 0])
  return None if len(starts) < 2 else float(1 / np.median(np.diff(starts)))


def is_faster(file_rate: float | None, wanted: float | None) -> bool:
  """Whether frames of a file have to be averaged; None or 0 wants them as they are."""
  return bool(file_rate and wanted and file_rate > TOLERANCE * wanted)


def average(features: np.ndarray, spans: np.ndarray, clip: np.ndarray, rate: float) -> np.ndarray:
  """Averages a clip's frames in bins of 1 / `rate` seconds, counted from the clip's start.

  A frame belongs to the bin that its middle lies in; of a frame that crosses the clip's edge, only
  the part inside the clip counts. Values that are not finite are left out of their column's mean. A
  bin without a frame makes no step.

  Args:
    features: [n, D], of the frames that share time with the clip.
    spans: [n, 2] seconds.
    clip: [2] seconds.

  Returns:
    [t, D] float32, NaN where a bin has no finite value in a column.
  """
  if not len(features):
    return features.astype(np.float32)
  start, end = clip
  middles = np.clip(spans, start, end).mean(axis=1)
  last = max(0, int(np.ceil((end - start) * rate - 1e-9)) - 1)
  bins = np.minimum(np.floor((middles - start) * rate + 1e-9).astype(int), last)
  order = np.argsort(bins, kind='stable')
  _, firsts = np.unique(bins[order], return_index=True)
  values = features[order].astype(np.float64)
  finite = np.isfinite(values)
  counts = np.add.reduceat(finite, firsts, axis=0, dtype=np.int64)
  sums = np.add.reduceat(np.where(finite, values, 0), firsts, axis=0)
  return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)
