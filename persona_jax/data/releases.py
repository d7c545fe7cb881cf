"""Which published release files look like, and whether they were mixed.

Widths and counts are those that the maintainers or users of the CMU Multimodal SDK report in the
issues of https://github.com/A2Zadeh/CMU-MultimodalSDK, named below, and in MulT's and MMSA's.
"""

import dataclasses
import re
from collections.abc import Mapping

from persona_jax.data.source_files import SourceFile

MOSI, MOSEI = 'CMU-MOSI', 'CMU-MOSEI'


@dataclasses.dataclass(frozen=True)
class FeatureSet:
  """Features that were published.

  Attributes:
    name: of the features.
    rate: frames a second in CMU's files; None where frames are words or clips, or unknown.
  """

  name: str
  rate: float | None = None


# {(modality, width): features}
FEATURE_SETS = {
  ('language', 300): FeatureSet('GloVe 840B word vectors'),  # issue 107
  ('language', 768): FeatureSet('BERT-base'),  # MMSA's pickles
  ('audio', 74): FeatureSet('COVAREP', 100),  # issues 107 and 186
  ('audio', 384): FeatureSet('openSMILE IS09'),  # the INTERSPEECH 2009 feature set
  ('audio', 1585): FeatureSet('openSMILE EB10 (emobase2010)'),  # issues 35 and 56
  ('audio', 5): FeatureSet("MulT's five columns of COVAREP"),  # issue 172
  ('vision', 35): FeatureSet('Facet 4.2', 30),  # issues 202 and 225
  ('vision', 47): FeatureSet('FACET 4.1'),  # issue 107
  ('vision', 713): FeatureSet('OpenFace 2'),  # issue 343
  ('vision', 20): FeatureSet("MulT's twenty columns of FACET 4.1"),  # issue 172
}

_OFF = 1.2  # a rate is another one if it is so many times as high or low


def features_like(modality: str, width: int, rate: float | None) -> str | None:
  """What features of a width are known as, in words; None if no known release has it.

  Args:
    rate: frames a second in the file; None where unknown.
  """
  known = FEATURE_SETS.get((modality, width))
  if known is None:
    return None
  if known.rate and rate and not 1 / _OFF < rate / known.rate < _OFF:
    return f'{known.name}, at {rate:.4g} frames a second instead of {known.rate:g}'
  return known.name


def corpus_like(num_videos: int, num_clips: int) -> str | None:
  """The corpus with so many labelled videos and clips; None if it is no known one.

  CMU-MOSI has 93 videos (its README in the SDK) and 2,199 clips. CMU-MOSEI has 3,228 videos and
  23,453 clips in its paper (https://aclanthology.org/P18-1208), and 3,293 videos and 23,259 clips
  in the SDK's labels (issue 258).
  """
  if num_videos == 93 and num_clips <= 2199:
    return MOSI
  if 3200 <= num_videos <= 3300 and num_clips > 20000:
    return MOSEI
  return None


def mixtures(files: Mapping[str, SourceFile], median_frames: Mapping[str, float]) -> list[str]:
  """Sentences on files that do not seem to belong together.

  Args:
    files: {'labels' or modality: its file}.
    median_frames: {modality: median over clips of the frames a clip has}.
  """
  return _of_names(files) + _of_videos(files) + _of_levels(median_frames)


def _of_names(files: Mapping[str, SourceFile]) -> list[str]:
  """Names that speak of different corpora."""
  corpora = {}
  for field, file in files.items():
    if match := re.search(r'MOSEI|MOSI|POM', f'{file.name} {file.root}', re.IGNORECASE):
      corpora.setdefault(match[0].upper(), []).append(f'{field} ({file.name})')
  if len(corpora) < 2:
    return []
  told = '; '.join(f'{corpus}: {", ".join(fields)}' for corpus, fields in corpora.items())
  return [f'by their names, the files are of different corpora: {told}.']


def _of_videos(files: Mapping[str, SourceFile]) -> list[str]:
  """Files that lack most of the labelled videos."""
  if 'labels' not in files:
    return []
  total = files['labels'].num_videos
  return [
    f'{field}: {file.name} has {file.num_labelled} of the {total} labelled videos, among its '
    f'{file.num_videos}; it is a file of another corpus, or names videos in another way.'
    for field, file in files.items()
    if file.num_labelled < total / 2
  ]


def _of_levels(median_frames: Mapping[str, float]) -> list[str]:
  """Features of whole clips beside features of words or frames."""
  whole = [modality for modality, frames in median_frames.items() if frames == 1]
  parts = [f'{m} (median {frames:g})' for m, frames in median_frames.items() if frames > 1]
  if not whole or not parts:
    return []
  return [
    f'{", ".join(whole)}: one frame per clip, as in features of whole utterances, beside '
    f'{", ".join(parts)}.'
  ]
