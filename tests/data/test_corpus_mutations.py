"""Corpus files changed in every way: what comes of it is a corpus, or a sentence."""

import json
import tracemalloc

import h5py
import numpy as np
import pytest
import writers
from hypothesis import given
from hypothesis import strategies as st
from mutating import MUTATED, changed, copied, outcome

from persona_jax.data import corpus_about, loading
from persona_jax.errors import UserError

DATASETS = (
  'about',
  'labels',
  *(f'{group}/{m}' for group in ('frames', 'lengths') for m in ('language', 'audio', 'vision')),
)
CONTENTS = st.sampled_from(
  [None, 0, -1, 1e999, '', 'v', [], {}, [None], ['v'] * 9, {'v': 'w'}, {'v': {}}, 'happiness']
)


@pytest.fixture(scope='module')
def valid(tmp_path_factory, tiny):
  return writers.corpus_file(tmp_path_factory.mktemp('valid') / 'x.h5', tiny)


def replaced(file, name, *arguments, **options):
  del file[name]
  return file.create_dataset(name, *arguments, **options)


@MUTATED
@given(st.data())
def test_datasets_changed(valid, tmp_path, data):
  config = copied(valid, tmp_path / 'files')
  with h5py.File(tmp_path / 'files/x.h5', 'a') as file:
    for name in data.draw(st.lists(st.sampled_from(DATASETS), min_size=1, max_size=2, unique=True)):
      array = file[name][:]
      how = data.draw(st.sampled_from(['removed', 'array', 'billion', 'chunks', 'root', 'shared']))
      if how == 'removed':
        del file[name]
      elif how == 'array':
        new = changed(data, array)
        replaced(file, name, data=new.astype('S') if new.dtype.kind in 'UO' else new)
      elif how == 'billion':
        rows = data.draw(st.sampled_from([10**6, 10**9, 2**58]))
        packed = dict(chunks=(1000, *array.shape[1:]), compression='gzip')
        options = data.draw(st.sampled_from([{}, packed]))
        replaced(file, name, (rows, *array.shape[1:]), array.dtype, **options)
      elif how == 'chunks':
        replaced(file, name, data=array, chunks=True, compression='gzip', shuffle=True)
      elif how == 'root':
        del file[name]
        file[name] = file['/']
      elif how == 'shared':
        other = data.draw(st.sampled_from([each for each in DATASETS if each in file]))
        del file[name]
        if other in file:
          file[name] = file[other]
  outcome(config)


@MUTATED
@given(st.data())
def test_fields_of_about_changed(valid, tmp_path, data):
  config = copied(valid, tmp_path / 'files')
  with h5py.File(tmp_path / 'files/x.h5', 'a') as file:
    about = json.loads(file['about'][:].tobytes())
    for _ in range(data.draw(st.integers(1, 2))):
      field = data.draw(st.sampled_from(sorted(about)))
      how = data.draw(st.sampled_from(['removed', 'other', 'entry']))
      if how == 'removed':
        del about[field]
      elif how == 'entry' and isinstance(about[field], list) and about[field]:
        about[field][data.draw(st.integers(0, len(about[field]) - 1))] = data.draw(CONTENTS)
      else:
        about[field] = data.draw(CONTENTS)
    replaced(file, 'about', data=np.frombuffer(json.dumps(about).encode(), np.uint8))
  outcome(config)


def test_words_that_would_fill_the_memory(valid, tmp_path):
  """A dictionary takes three bytes in the file, and 72 in memory."""
  config = copied(valid, tmp_path / 'files')
  path = tmp_path / 'files/x.h5'
  bomb = b'[' + b'{},' * (corpus_about.MOST_BYTES // 3 - 2) + b'{}]'
  with h5py.File(path, 'a') as file:
    replaced(file, 'about', data=np.frombuffer(bomb, np.uint8))
  tracemalloc.start()
  with pytest.raises(UserError, match='x.h5: about: expected a JSON object'):
    loading.load(config)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 3 * path.stat().st_size + 200e6
