"""MMSA's pickles: aligned_50.pkl and unaligned_50.pkl, of CMU-MOSI and CMU-MOSEI.

{split: {'text', 'audio', 'vision': [N, T, D], 'regression_labels': [N], 'id': 'video$_$clip',
'audio_lengths', 'vision_lengths': [N] frames that are no padding, 'text_bert': [N, 3, T]}}

`text_bert` has the numbers of BERT's word pieces, their mask and their segments, and the mask says
which frames of `text` are padding. Lengths and mask may be missing: then zeros are padding. Source:
src/MMSA/data_loader.py in https://github.com/thuiar/MMSA
"""

from collections.abc import Mapping, Sequence

import numpy as np

from persona_jax import targets
from persona_jax.data import label_file, pickle_splits
from persona_jax.data.corpus import Corpus
from persona_jax.data.gathering import Clip, Gathered, label_problem
from persona_jax.data.pickle_splits import Modality, Split
from persona_jax.errors import UserError
from persona_jax.types import Config

LABELS = 'regression_labels'
_BETWEEN, _PIECES = '$_$', 'text_bert'


def load(config: Config, splits: Sequence[Split]) -> Corpus:
  """The corpus of all splits of a file.

  Raises:
    UserError: a field is missing or of another shape, or no clip is left.
  """
  target, gathered = targets.of(config), Gathered(config)
  sources = {'language': config.data.mmsa_language, 'audio': 'audio', 'vision': 'vision'}
  found = pickle_splits.modalities(config, splits[0], sources)
  for split in splits:
    ids = pickle_splits.rows(split, 'id')
    arrays = {m: split.sequences(sources[m], len(ids)) for m in found}
    pickle_splits.expect_widths(split, found, arrays)
    _expect_features(split, arrays, sources)
    labels = split.columns(LABELS, len(ids))
    column = label_file.column(split.where(LABELS), labels.shape[1], (), target) if ids else 0
    known = _known_lengths(split, sources, found, len(ids))
    for place, row in enumerate(ids):
      name = f'{split.name}[{place}]'
      try:
        video, index = _parsed(row)
        name = f'{video}[{index}]'
        if problem := label_problem(labels[place, column], target):
          raise ValueError(problem)
        padded = {m: array[place] for m, array in arrays.items()}
        frames = _frames(found, padded, {m: each[place] for m, each in known.items()})
      except ValueError as error:
        gathered.leave_out(name, str(error))
        continue
      gathered.add(Clip(name, video, float(labels[place, column]), frames))
  return pickle_splits.corpus(config, splits, gathered, found, ())


def _parsed(row: object) -> tuple[str, int]:
  """Video and index of an id; raises `ValueError` for what is none."""
  row = row[0] if isinstance(row, list) and len(row) == 1 else row
  text = pickle_splits.as_text(row)
  video, _, clip = text.rpartition(_BETWEEN)
  if not video or not (clip.isascii() and clip.isdecimal() and len(clip) < 10):
    raise ValueError(f'its id {text!a:.60} is not video{_BETWEEN}clip')
  return video, int(clip)


def _expect_features(
  split: Split, arrays: Mapping[str, np.ndarray], sources: Mapping[str, str]
) -> None:
  words = arrays.get('language')
  if sources['language'] == _PIECES and words is not None and _are_pieces(words):
    raise UserError(
      f'{split.where(_PIECES)}: numbers of word pieces, not features; take '
      "config.data.mmsa_language='text', whose frames are BERT's."
    )


def _are_pieces(array: np.ndarray) -> bool:
  """Whether [N, 3, T] are word pieces, their mask and their segments."""
  return array.shape[1] == 3 and bool(np.isin(array[:, 1:], (0, 1)).all())


def _known_lengths(
  split: Split, sources: Mapping[str, str], found: Mapping[str, Modality], count: int
) -> dict[str, np.ndarray]:
  """{modality: [N] frames that are no padding}, where the file says so."""
  lengths = {
    m: split.column(f'{sources[m]}_lengths', count)
    for m in found
    if f'{sources[m]}_lengths' in split.fields
  }
  if 'language' in found and 'language' not in lengths and _PIECES in split.fields:
    pieces = split.sequences(_PIECES, count)
    if _are_pieces(pieces):
      lengths['language'] = pieces[:, 1].sum(axis=1)
  return lengths


def _frames(
  found: Mapping[str, Modality], padded: Mapping[str, np.ndarray], lengths: Mapping[str, float]
) -> dict[str, np.ndarray]:
  """The clip's frames of every modality; raises `ValueError` where a length cannot be."""
  valid = {m: pickle_splits.has_values(each) for m, each in padded.items()}
  for m, length in lengths.items():
    steps = len(padded[m])
    if not 0 <= length <= steps or length != int(length):
      raise ValueError(f'{found[m].source} has length {length:g}, expected 0 to {steps}')
    at_end, count = np.arange(steps) < length, int(length)
    if m == 'language' or not valid[m][count:].any():
      valid[m] = at_end
    elif not valid[m][: steps - count].any():
      valid[m] = at_end[::-1]
    else:
      found[m].counts['clips whose length does not fit their zeros, which were used instead'] += 1
  spans = pickle_splits.spans(valid, fixed=tuple(lengths))
  return {m: each.frames(padded[m], spans[m]) for m, each in found.items()}
