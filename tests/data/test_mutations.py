"""Valid files, changed in every way: what comes of it is a corpus, or a sentence."""

import pickle
import re

import h5py
import numpy as np
import pytest
import writers
from hypothesis import given
from hypothesis import strategies as st
from mutating import MUTATED, changed, copied, outcome

CSD = ('labels', 'language', 'audio', 'vision')


@pytest.fixture(scope='module')
def valid(tmp_path_factory, tiny):
  """{format: a config of valid files in a folder of its own}."""
  folders = {
    name: tmp_path_factory.mktemp(name) for name in ('csd', 'mult', 'mmsa', 'table', 'corpus')
  }
  return {
    'csd': writers.csd(folders['csd'], tiny, by_clip=False),
    'mult': writers.mult(folders['mult'] / 'x.pkl', tiny),
    'mmsa': writers.mmsa(folders['mmsa'] / 'x.pkl', tiny),
    'table': writers.table(folders['table'] / 'clips.csv', tiny),
    'corpus': writers.corpus_file(folders['corpus'] / 'x.h5', tiny),
  }


@pytest.fixture
def scratch(tmp_path):
  return tmp_path


@MUTATED
@given(st.data(), st.sampled_from(['csd', 'mult', 'mmsa', 'table', 'corpus']))
def test_bytes_flipped_and_files_cut(valid, scratch, data, kind):
  config = copied(valid[kind], scratch / 'files')
  files = sorted(path for path in (scratch / 'files').rglob('*') if path.is_file())
  path = data.draw(st.sampled_from(files))
  content = bytearray(path.read_bytes())
  for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
    content[place] = data.draw(st.integers(0, 255))
  if data.draw(st.booleans()):
    content = content[: data.draw(st.integers(0, len(content)))]
  path.write_bytes(content)
  outcome(config)


IDS = st.sampled_from(
  ['', 'v', 'v[0]', 'va[1]', 'va_1', 'va$_$1', '$_$', b'\xff', b'va[0]', 'a\x1bb']
  + ['v[' + '9' * 30 + ']']
)


@MUTATED
@given(st.data(), st.sampled_from(['mult', 'mmsa']))
def test_fields_of_pickles_changed(valid, scratch, data, kind):
  config = copied(valid[kind], scratch / 'files')
  path = scratch / 'files/x.pkl'
  content = pickle.loads(path.read_bytes())
  for _ in range(data.draw(st.integers(1, 3))):
    split = content[data.draw(st.sampled_from(sorted(content)))]
    field = data.draw(st.sampled_from(sorted(split))) if split else None
    how = data.draw(st.sampled_from(['removed', 'array', 'id', 'nothing']))
    if field is None or how == 'removed':
      split.pop(field, None)
    elif how == 'array' and isinstance(split[field], np.ndarray) and split[field].ndim:
      split[field] = changed(data, split[field])
    elif how == 'id' and isinstance(split.get('id'), list) and split['id']:
      split['id'][data.draw(st.integers(0, len(split['id']) - 1))] = data.draw(IDS)
    elif how == 'id' and isinstance(split.get('id'), np.ndarray) and split['id'].ndim == 2:
      ids = split['id'] = split['id'].astype(object)
      if ids.size:
        ids.flat[data.draw(st.integers(0, ids.size - 1))] = data.draw(IDS)
    elif how == 'nothing':
      split[field] = data.draw(st.sampled_from([None, 'text', [], {}, 1.5, [[1], [2, 3]]]))
  path.write_bytes(pickle.dumps(content, data.draw(st.integers(2, 5))))
  if (corpus := outcome(config)) is not None:
    assert len(corpus.names) + len(corpus.left_out) == sum(len(s['id']) for s in content.values())


@MUTATED
@given(st.data())
def test_datasets_of_sequences_changed(valid, scratch, data):
  config = copied(valid['csd'], scratch / 'files')
  with h5py.File(scratch / 'files' / config.data[data.draw(st.sampled_from(CSD))], 'a') as file:
    (root,) = file.values()
    video = data.draw(st.sampled_from(sorted(root['data'])))
    group = root['data'][video]
    name = data.draw(st.sampled_from(['features', 'intervals']))
    how = data.draw(st.sampled_from(['removed', 'array', 'billion', 'renamed', 'video', 'chunks']))
    if how == 'renamed':
      if (new := data.draw(IDS)) and new not in list(root['data']):
        root['data'][new] = group
    elif how == 'video':
      del root['data'][video]
    else:
      array = group[name][:]
      del group[name]
      if how == 'array':
        new = changed(data, array)
        group[name] = new.astype('S') if new.dtype.kind in 'UO' else new
      elif how == 'billion':
        rows = data.draw(st.sampled_from([10**6, 10**9, 2**62]))
        group.create_dataset(name, (rows, 2), 'f8', chunks=(1000, 2), compression='gzip')
      elif how == 'chunks':
        group.create_dataset(name, data=array, chunks=True, compression='gzip', shuffle=True)
  if (corpus := outcome(config)) is not None:
    found = number_of_labels(scratch / 'files' / config.data.labels)
    assert len(corpus.names) + len(corpus.left_out) == found


def number_of_labels(path):
  with h5py.File(path) as file:
    (root,) = file.values()
    shapes = [getattr(group.get('features'), 'shape', ()) for group in root['data'].values()]
  return sum(shape[0] for shape in shapes if shape)


CELLS = st.sampled_from(
  [
    '',
    'nan',
    '4',
    '-3',
    'va[0]',
    'clips/0.audio.npy',
    'clips/0.language.npy',
    '../x.npy',
    '/dev/zero',
  ]
  + ['clips', 'none.npy', 'x' * 5000, '"', ',', '\x00', 'é']
)


@MUTATED
@given(st.data())
def test_cells_of_tables_changed(valid, scratch, data):
  config = copied(valid['table'], scratch / 'files')
  path = scratch / 'files/clips.csv'
  lines = [line.split(',') for line in path.read_text().splitlines()]
  for _ in range(data.draw(st.integers(1, 4))):
    line = lines[data.draw(st.integers(0, len(lines) - 1))]
    line[data.draw(st.integers(0, len(line) - 1))] = data.draw(CELLS)
  path.write_text('\n'.join(map(','.join, lines)) + '\n')
  if (corpus := outcome(config)) is not None and not re.search('["\x00]', path.read_text()):
    assert len(corpus.names) + len(corpus.left_out) == len(lines) - 1
