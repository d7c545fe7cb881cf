"""Our own corpus file: what is saved comes back in every field."""

import dataclasses

import numpy as np
import pytest
import writers
from makers import MOSI_FILES

from configs import synthetic
from persona_jax import data
from persona_jax.data import corpus as corpus_lib
from persona_jax.data import corpus_reader, loading
from persona_jax.data.joining import join_clips
from persona_jax.data.resample import Sampling


def assert_equal(found, expected):
  """The same in every field."""
  assert corpus_lib.fingerprint(found) == corpus_lib.fingerprint(expected)
  for field in ('names', 'speakers', 'left_out', 'notes', 'sampling'):
    assert getattr(found, field) == getattr(expected, field), field
  np.testing.assert_array_equal(found.labels, expected.labels)
  assert (found.oracle is None) == (expected.oracle is None)
  writers.assert_same(found, expected)


def test_a_corpus_comes_back_in_every_field(tiny, saved):
  left_out = {'w[0]': 'its label is nan', '\ud800': 'its name'}
  expected = dataclasses.replace(
    tiny, left_out=left_out, sampling={'audio': Sampling(100.0, 12.5, 3)}
  )
  data.save_corpus(expected, writers.path_of(saved))  # in place of the file that is there
  found = data.load_corpus(writers.path_of(saved))
  assert_equal(found, expected)
  assert [x.tolist() for x in found.clips.starts.values()] == [
    x.tolist() for x in tiny.clips.starts.values()
  ]
  frames = found.clips.frames['audio']
  assert isinstance(frames, np.memmap) and not frames.flags.writeable and frames.flags.aligned


def test_real_mosi_comes_back_with_its_fingerprint(tmp_path, mosi_root):
  config = writers.config_of(mosi_root, **MOSI_FILES)
  expected = loading.load(config)
  data.save_corpus(expected, tmp_path / 'x.h5', config)
  assert_equal(loading.load(writers.config_of(tmp_path, file='x.h5')), expected)
  provenance = corpus_reader.read(tmp_path / 'x.h5').provenance
  assert provenance['files'][0] == {
    'name': 'CMU_MOSI_Opinion_Labels.csd',
    'size': 674712,
    'sha256': 'aef5f4617cdb067cc7606bb798eb6452c3de45f0f21cb3427be33c4d8c7fe852',
  }


def test_a_synthetic_corpus_comes_back_with_its_oracle(tmp_path):
  expected = loading.load(synthetic.get_config('smoke'))
  found = loading.load(writers.corpus_file(tmp_path / 'x.h5', expected))
  assert_equal(found, expected)
  np.testing.assert_array_equal(found.oracle, expected.oracle)


def test_clips_left_out_take_their_oracle_along(tmp_path):
  """Of the first clip, nothing is left of audio."""
  made = loading.load(synthetic.get_config('smoke'))
  made.clips.lengths['audio'][0] = 0
  config = writers.corpus_file(tmp_path / 'x.h5', made)
  config.data.missing = 'drop'
  found = loading.load(config)
  assert found.names == made.names[1:] and made.names[0] in found.left_out
  np.testing.assert_array_equal(found.oracle, made.oracle[1:])


def test_a_modality_without_a_frame_comes_back(tmp_path):
  """As one row of zeros, whatever frames were cut off."""
  frames = [{'audio': np.ones((2, 3)), 'vision': np.ones((1, 4))}] * 2
  clips = join_clips(frames, {'audio': 3, 'vision': 4})
  clips.lengths['vision'][:] = 0
  expected = corpus_lib.Corpus(
    names=('v[0]', 'v[1]'),
    speakers=('v', 'v'),
    labels=np.array([0, 1], np.float32),
    clips=clips,
    left_out={},
    notes=(),
  )
  data.save_corpus(expected, tmp_path / 'x.h5')
  found = data.load_corpus(tmp_path / 'x.h5')
  assert_equal(found, expected)
  assert found.clips.frames['vision'].tolist() == [[0, 0, 0, 0]]


def test_the_same_corpus_gives_the_same_bytes_wherever_its_files_are(tmp_path):
  """With provenance: no date, and no folder."""
  contents = []
  for name in ('one', 'other'):
    root = tmp_path / name
    root.mkdir()
    expected = writers.tiny(root)
    config = writers.csd(root, expected, by_clip=False)
    data.save_corpus(loading.load(config), root / 'x.h5', config)
    contents.append((root / 'x.h5').read_bytes())
  assert contents[0] == contents[1] and str(tmp_path).encode() not in contents[0]


def test_provenance_of_a_table_sums_up_its_arrays(tmp_path, tiny):
  config = writers.table(tmp_path / 'clips.csv', tiny)

  def provenance():
    data.save_corpus(tiny, tmp_path / 'x.h5', config)
    return corpus_reader.read(tmp_path / 'x.h5').provenance

  before = provenance()
  arrays = sorted((tmp_path / 'clips').glob('*.npy'))
  assert [each['name'] for each in before['files']] == ['clips.csv', 'arrays of clips.csv']
  assert before['files'][1]['size'] == sum(path.stat().st_size for path in arrays)
  np.save(arrays[3], np.load(arrays[3]) + 1)
  after = provenance()
  assert [a == b for a, b in zip(before['files'], after['files'], strict=True)] == [True, False]


def test_what_the_config_asks_for(saved, tiny):
  saved.model.modalities = ('audio', 'vision')
  saved.data.max_steps.audio = 20
  found = loading.load(saved)
  assert list(found.clips.frames) == ['audio', 'vision']
  assert found.clips.lengths['audio'].tolist() == [20] * 9
  assert found.clips.lengths['vision'].tolist() == tiny.clips.lengths['vision'].tolist()
  assert found.sampling['audio'].num_cut == 9 and found.sampling['vision'].num_cut == 0
  assert 'x.h5, audio: clips cut to 20 steps: 9.' in found.notes
  assert 'clips kept with a modality masked: vision 1 (first: vc[0]).' in found.notes
  saved.data.missing = 'drop'
  found = loading.load(saved)
  assert found.left_out == {'vc[0]': 'no frame of vision (config.data.missing is "drop")'}
  assert found.names == tiny.names[:6] + tiny.names[7:] and len(found.labels) == 8
  assert not any('masked' in note for note in found.notes)
  assert sum('vc[0]: no frame of vision' in note for note in found.notes) == 1
  saved.model.modalities = ('vision',)
  saved.data.missing = 'mask'
  assert loading.load(saved).left_out == {'vc[0]': 'no modality has a frame in its interval'}


@pytest.mark.parametrize(
  'fields', [dict(), dict(missing='drop'), dict(max_steps=dict(language=3, audio=20, vision=7))]
)
def test_it_is_the_corpus_that_the_original_files_give(tmp_path, tiny, fields):
  """To the fingerprint, though frames that are cut or left out are still in the file."""
  original = writers.csd(tmp_path, tiny, by_clip=False)
  data.save_corpus(loading.load(original), tmp_path / 'x.h5', original)
  original.data.update(fields)
  of_file = writers.config_of(tmp_path, file='x.h5', **fields)
  assert corpus_lib.fingerprint(loading.load(of_file)) == corpus_lib.fingerprint(
    loading.load(original)
  )


def test_a_corpus_that_was_cut_is_saved_without_what_was_cut(tmp_path, saved):
  saved.data.max_steps.audio, saved.data.missing = 3, 'drop'
  cut = loading.load(saved)
  data.save_corpus(cut, tmp_path / 'y.h5')
  found = data.load_corpus(tmp_path / 'y.h5')
  assert_equal(found, cut)
  assert len(found.clips.frames['audio']) == 3 * len(found.names) == 21
