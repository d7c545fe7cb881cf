"""A corpus written as each of the formats that people have, for tests that load it again."""

import collections
import pathlib
import pickle
from collections.abc import Sequence

import h5py
import makers
import numpy as np

from configs import mosi
from persona_jax import data
from persona_jax.data import loading, own_clips
from persona_jax.data.corpus import Corpus
from persona_jax.data.gathering import video_and_index
from persona_jax.types import MODALITIES, Config

FIELDS = {'language': 'text', 'audio': 'audio', 'vision': 'vision'}
SPLITS = {'train': 0.6, 'valid': 0.2, 'test': 0.2}


def config_of(root: pathlib.Path, **fields) -> Config:
  """A config of real files in `root`."""
  config = mosi.get_config()
  config.data.update(root=str(root), **fields)
  return config


def tiny(root: pathlib.Path) -> Corpus:
  """Nine clips of three videos, one of them without vision and one without words."""
  files = makers.write_corpus(root, {'va': 4, 'vb': 2, 'vc': 3})
  for file, video in ((files['vision'], 'vc'), (files['language'], 'vb')):
    with h5py.File(root / file, 'a') as opened:
      group = opened[f'any root/data/{video}']
      features, intervals = group['features'][:], group['intervals'][:]
      kept = intervals[:, 0] >= 2
      del group['features'], group['intervals']
      group['features'], group['intervals'] = features[kept], intervals[kept]
  return loading.load(config_of(root, **files))


def frames_of(corpus: Corpus) -> list[dict[str, np.ndarray]]:
  """{modality: [t, D]} of every clip."""
  return [
    {m: corpus.clips.rows(m, np.array([n])) for m in corpus.clips.frames}
    for n in range(len(corpus.names))
  ]


def assert_same(found: Corpus, expected: Corpus, frames: Sequence | None = None) -> None:
  """The same clips, whatever their order; `frames` are expected in place of the corpus's own."""
  place_of = {name: place for place, name in enumerate(found.names)}
  assert set(place_of) == set(expected.names)
  places = [place_of[name] for name in expected.names]
  np.testing.assert_array_equal(found.labels[places], expected.labels)
  assert tuple(found.speakers[place] for place in places) == expected.speakers
  own = frames_of(found)
  for name, place, wanted in zip(
    expected.names, places, frames or frames_of(expected), strict=True
  ):
    assert list(own[place]) == list(wanted)
    for modality, sequence in wanted.items():
      np.testing.assert_array_equal(own[place][modality], sequence, err_msg=f'{name} {modality}')


def _times(index: int, count: int) -> np.ndarray:
  """[count, 2] of frames that share a clip's time, of ten seconds a clip."""
  edges = np.linspace(10 * index + 1, 10 * index + 9, count + 1)
  return np.stack([edges[:-1], edges[1:]], axis=1)


def csd(root: pathlib.Path, corpus: Corpus, by_clip: bool, in_parts: bool = False) -> Config:
  """Computational sequences whose entries are videos or clips, in one file each or many."""
  entries = {field: collections.defaultdict(list) for field in ('labels', *MODALITIES)}
  for name, label, frames in zip(corpus.names, corpus.labels, frames_of(corpus), strict=True):
    video, index = video_and_index(name)
    entry = name if by_clip else video
    entries['labels'][entry].append(([[label]], [[10 * index, 10 * index + 10]]))
    for m, sequence in frames.items():
      if len(sequence):
        entries[m][entry].append((sequence, _times(index, len(sequence))))
  files = {}
  for field, of_entry in entries.items():
    whole = {
      entry: tuple(np.concatenate(part) for part in zip(*parts, strict=True))
      for entry, parts in of_entry.items()
    }
    files[field] = field if in_parts else f'{field}.csd'
    if in_parts:
      (root / field).mkdir()
      for number, (entry, arrays) in enumerate(whole.items()):
        makers.write_csd(root / field / f'{number}.csd', {entry: arrays}, f'Modified {field}')
    else:
      makers.write_csd(root / files[field], whole, f'Modified {field}')
  return config_of(root, **files)


def _of_splits(corpus: Corpus) -> dict[str, range]:
  """{split: places of its clips}."""
  ends = np.round(np.cumsum(list(SPLITS.values())) * len(corpus.names)).astype(int).tolist()
  return {
    split: range(start, end)
    for split, start, end in zip(SPLITS, [0, *ends[:-1]], ends, strict=True)
  }


def padded(
  sequences: Sequence[np.ndarray], steps: int, at_front: bool = False, dtype=np.float32
) -> np.ndarray:
  """[n, steps, D] with zeros behind, or before, each sequence [t, D]."""
  whole = np.zeros((len(sequences), steps, sequences[0].shape[1]), dtype)
  for row, sequence in zip(whole, sequences, strict=True):
    count = len(sequence)
    row[steps - count if at_front else 0 : steps if at_front else count] = sequence
  return whole


def _padded_splits(corpus: Corpus, at_front: bool) -> dict[str, dict[str, np.ndarray]]:
  frames = frames_of(corpus)
  steps = {m: max(len(each[m]) for each in frames) + n for n, m in enumerate(FIELDS)}
  return {
    split: {
      field: padded([frames[n][m] for n in places], steps[m], at_front)
      for m, field in FIELDS.items()
    }
    for split, places in _of_splits(corpus).items()
  }


def mult(path: pathlib.Path, corpus: Corpus, at_front: bool = False, protocol: int = 2) -> Config:
  """MulT's pickle, with ids of bytes: video, start and end."""
  content = _padded_splits(corpus, at_front)
  for split, places in _of_splits(corpus).items():
    ids = [video_and_index(corpus.names[n]) for n in places]
    texts = [[video, f'{2.5 * index}', f'{2.5 * index + 2}'] for video, index in ids]
    content[split]['id'] = np.array(texts, 'S') if texts else np.zeros((0, 3), 'S1')
    content[split]['labels'] = corpus.labels[list(places), None, None].astype(np.float64)
  path.write_bytes(pickle.dumps(content, protocol))
  return config_of(path.parent, file=path.name)


def mmsa(path: pathlib.Path, corpus: Corpus, at_front: bool = False, protocol: int = 4) -> Config:
  """MMSA's pickle, with lengths, and the mask of the words in `text_bert`."""
  frames, content = frames_of(corpus), _padded_splits(corpus, at_front)
  for split, places in _of_splits(corpus).items():
    fields = content[split]
    if at_front:  # words never are: their mask begins at the first
      fields['text'] = padded([frames[n]['language'] for n in places], fields['text'].shape[1])
    count, steps = fields['text'].shape[:2]
    pieces = np.zeros((count, 3, steps))
    for row, n in zip(pieces, places, strict=True):
      row[:2, : len(frames[n]['language'])] = [[7], [1]]
    fields['text_bert'] = pieces
    for m in ('audio', 'vision'):
      fields[f'{m}_lengths'] = [len(frames[n][m]) for n in places]
    fields['id'] = ['$_$'.join(map(str, video_and_index(corpus.names[n]) or ())) for n in places]
    fields['regression_labels'] = corpus.labels[list(places)]
    fields['raw_text'] = np.array(['some words'] * count)
  path.write_bytes(pickle.dumps(content, protocol))
  return config_of(path.parent, file=path.name)


def table(path: pathlib.Path, corpus: Corpus) -> Config:
  """A CSV with .npy files."""
  clips = corpus.clips.at(np.arange(len(corpus.names)))
  own_clips.write(path, clips, corpus.names, corpus.speakers, corpus.labels)
  return config_of(path.parent, file=path.name)


def corpus_file(path: pathlib.Path, corpus: Corpus) -> Config:
  """Our own file."""
  data.save_corpus(corpus, path)
  return config_of(path.parent, file=path.name)


def path_of(config: Config) -> str:
  """Of the one file that the corpus of a config is in."""
  return f'{config.data.root}/{config.data.file}'
