import numpy as np
import pytest
from makers import MOSI_FILES, write_corpus, write_csd

from configs import mosi, synthetic
from persona_jax.data import corpus
from persona_jax.errors import UserError


def config_of(root, files):
  config = mosi.get_config()
  config.data.update(root=str(root), **files)
  return config


@pytest.fixture
def small(tmp_path):
  return config_of(tmp_path, write_corpus(tmp_path, {'va': 3, 'vb': 2, 'vc': 4}))


def test_loads_long_sequences_of_any_width(small):
  loaded = corpus.load(small)
  assert loaded.names[:4] == ('va[0]', 'va[1]', 'va[2]', 'vb[0]')
  assert loaded.speakers[3] == 'vb'
  assert {m: x.shape[1:] for m, x in loaded.clips.sequences.items()} == {
      'language': (4, 5), 'audio': (25, 74), 'vision': (30, 47)}
  assert loaded.clips.masks['audio'].sum(axis=1).tolist()[:2] == [25, 25]  # 12.5 Hz over 2 s
  assert 'every video counts as a speaker (3)' in loaded.notes[0]


def test_cuts_to_max_steps_and_says_so(small):
  small.data.max_steps.audio = 10
  loaded = corpus.load(small)
  assert loaded.clips.sequences['audio'].shape == (9, 10, 74)
  assert any(note == 'covarep.csd: clips cut to 10 steps: 9.' for note in loaded.notes)


def test_a_frame_that_straddles_clips_belongs_to_both(tmp_path, small):
  write_csd(tmp_path / 'words.csd', {'va': (np.array([[1.0], [2.0], [3.0]]),
                                            np.array([[0, 1.5], [1.5, 2.5], [2.5, 6.0]]))})
  loaded = corpus.load(small)
  words = loaded.clips.sequences['language'][:3, :, 0] * loaded.clips.masks['language'][:3]
  np.testing.assert_array_equal(words, [[1, 2], [2, 3], [3, 0]])


@pytest.mark.parametrize('missing, kept', [('mask', 9), ('drop', 5)])
def test_clips_without_a_modality_are_masked_or_dropped_by_name(tmp_path, small, missing, kept):
  write_csd(tmp_path / 'facet.csd', {v: (np.ones((1, 47)), np.array([[0.0, 99.0]]))
                                     for v in ('va', 'vb')})
  small.data.missing = missing
  loaded = corpus.load(small)
  assert len(loaded.names) == kept
  if missing == 'mask':
    assert not loaded.clips.masks['vision'][5:].any()
    assert any('vision 4 (first: vc[0])' in note for note in loaded.notes)
  else:
    assert list(loaded.left_out) == ['vc[0]', 'vc[1]', 'vc[2]', 'vc[3]']
    assert 'no frame of vision' in loaded.left_out['vc[0]']


def test_non_finite_values_become_zero_and_are_counted(tmp_path, small):
  features = np.ones((3, 2), np.float32)
  features[1] = [np.nan, -np.inf]
  spans = np.array([[0, 2], [2, 4], [4, 6]], float)
  write_csd(tmp_path / 'covarep.csd', {v: (features, spans) for v in ('va', 'vb', 'vc')})
  loaded = corpus.load(small)
  np.testing.assert_array_equal(loaded.clips.sequences['audio'][1, 0], [0, 0])
  assert 'covarep.csd: non-finite values set to 0: 6.' in loaded.notes


def test_unlabelled_clips_are_left_out_by_name(tmp_path, small):
  spans = np.array([[0, 2], [2, 4], [4, 3]], float)
  write_csd(tmp_path / 'y.csd', {'va': (np.array([[1.0], [np.nan], [2.0]]), spans)})
  loaded = corpus.load(small)
  assert loaded.names == ('va[0]',)
  assert list(loaded.left_out) == ['va[1]', 'va[2]']
  assert any('2 labelled clips left out: va[1]: its label is nan' in note for note in loaded.notes)


def test_label_out_of_range_is_refused(tmp_path, small):
  write_csd(tmp_path / 'y.csd', {'va': (np.array([[7.0]]), np.array([[0.0, 1.0]]))})
  with pytest.raises(UserError, match=r'y.csd: clip va\[0\] has sentiment 7, expected -3 to 3'):
    corpus.load(small)


def test_speakers_file_joins_videos(tmp_path, small):
  (tmp_path / 'who.csv').write_text('video,speaker\nva,ann\nvb,bob\nvc,ann\n')
  small.data.speakers = 'who.csv'
  loaded = corpus.load(small)
  assert corpus.users_by_clips(loaded) == [('ann', 7), ('bob', 2)]
  (tmp_path / 'who.csv').write_text('video,speaker\nva,ann\n')
  with pytest.raises(UserError, match=r'who.csv: no speaker for video vb \(and 1 more\)'):
    corpus.load(small)


def test_empty_root_is_explained():
  with pytest.raises(UserError, match='config.data.root is empty'):
    corpus.load(mosi.get_config())


def test_synthetic_takes_the_modalities_of_the_model():
  config = synthetic.get_config('smoke')
  config.model.modalities = ('language', 'vision')
  assert list(corpus.load(config).clips.sequences) == ['language', 'vision']


def test_real_mosi_loses_no_clip(mosi_root):
  loaded = corpus.load(config_of(mosi_root, MOSI_FILES))
  assert len(loaded.names) == 2199 and not loaded.left_out
  assert len(set(loaded.speakers)) == 93
  instant = loaded.names.index('2WGyTLYerpo[43]')
  # Its two words at one instant, and the word that begins there.
  assert loaded.clips.masks['language'][instant].sum() == 3
  assert all(mask.any(axis=1).all() for mask in loaded.clips.masks.values())
  assert corpus.users_by_clips(loaded)[0] == ('2WGyTLYerpo', 63)
  assert 'clips of zero length: 2WGyTLYerpo[43].' in loaded.notes
