"""CMU-MOSI's files, in small."""

import h5py
import numpy as np
import pytest
from makers import MOSI_FILES, everything, write_corpus, write_csd

from configs import mosi
from persona_jax.data import corpus, csd, loading
from persona_jax.data.resample import Sampling
from persona_jax.errors import UserError


def config_of(root, files):
  config = mosi.get_config()
  config.data.update(root=str(root), **files)
  return config


@pytest.fixture
def small(tmp_path):
  return config_of(tmp_path, write_corpus(tmp_path, {'va': 3, 'vb': 2, 'vc': 4}))


def test_loads_long_sequences_of_any_width(small):
  loaded = loading.load(small)
  assert loaded.names[:4] == ('va[0]', 'va[1]', 'va[2]', 'vb[0]')
  assert loaded.speakers[3] == 'vb'
  assert {m: x.shape[1:] for m, x in everything(loaded).sequences.items()} == {
    'language': (4, 5),
    'audio': (25, 74),
    'vision': (30, 47),
  }
  assert everything(loaded).masks['audio'].sum(axis=1).tolist()[:2] == [25, 25]  # 12.5 Hz over 2 s
  assert 'every video counts as a speaker (3)' in loaded.notes[0]


def test_cuts_to_max_steps_and_says_so(small):
  small.data.max_steps.audio = 10
  loaded = loading.load(small)
  assert everything(loaded).sequences['audio'].shape == (9, 10, 74)
  assert 'covarep.csd: clips cut to 10 steps: 9.' in loaded.notes


def test_a_file_of_a_hundred_frames_a_second_keeps_its_whole_clips(tmp_path, small):
  """Three clips of 2 s: 200 frames each become 25 means of 8, and none is lost."""
  starts = np.arange(600) / 100
  features = np.arange(600.0)[:, None] + [0, 1000]
  features[8] = np.nan  # left out of the second mean
  write_csd(tmp_path / 'covarep.csd', {'va': (features, np.stack([starts, starts + 0.01], axis=1))})
  small.data.max_steps.audio = 25
  loaded = loading.load(small)
  assert everything(loaded).masks['audio'].sum(axis=1).tolist()[:3] == [25, 25, 25]
  expected = 3.5 + 8 * np.arange(75)
  expected[1] = np.mean(range(9, 16))
  np.testing.assert_allclose(everything(loaded).sequences['audio'][:3, :, 0].ravel(), expected)
  np.testing.assert_allclose(
    everything(loaded).sequences['audio'][:3, :, 1].ravel(), expected + 1000
  )
  assert loaded.sampling['audio'] == Sampling(pytest.approx(100), 12.5, 0)
  assert any(
    'covarep.csd: 100 frames a second (median over videos), averaged to 12.5 in 1 of 1' in note
    for note in loaded.notes
  )
  assert 'covarep.csd: non-finite values left out of means: 2.' in loaded.notes
  small.data.frames_per_second.audio = 0  # as they are: the first quarter of a second
  loaded = loading.load(small)
  np.testing.assert_allclose(everything(loaded).sequences['audio'][1, :, 0], 200 + np.arange(25))
  assert loaded.sampling['audio'] == Sampling(pytest.approx(100), pytest.approx(100), 3)
  assert 'covarep.csd: clips cut to 25 steps: 3.' in loaded.notes


def test_what_is_not_faster_passes_as_it_is(small, tmp_path):
  """Words, audio at MulT's own rate, and one frame a clip."""
  spans = np.arange(3)[:, None] * 2.0 + [0, 2]
  write_csd(
    tmp_path / 'facet.csd', {'va': (np.arange(6, dtype=np.float32).reshape(3, 2) / 3, spans)}
  )
  resampled = loading.load(small)
  small.data.frames_per_second = dict(language=None, audio=None, vision=None)
  as_it_is = loading.load(small)
  for modality, sequence in everything(resampled).sequences.items():
    np.testing.assert_array_equal(sequence, everything(as_it_is).sequences[modality])
  assert corpus.fingerprint(resampled) == corpus.fingerprint(as_it_is)
  assert resampled.sampling['vision'] == Sampling(0.5, 0.5, 0)


def test_single_videos_that_are_faster_are_averaged_and_told(small, tmp_path):
  """va and vc at 10 frames a second, vb at 20: the median stays, and vb is averaged to 10."""
  videos = {}
  for video, rate in (('va', 10), ('vb', 20), ('vc', 10)):
    starts = np.arange(8 * rate) / rate
    videos[video] = (np.arange(8.0 * rate)[:, None], np.stack([starts, starts + 1 / rate], axis=1))
  write_csd(tmp_path / 'facet.csd', videos)
  small.data.frames_per_second.vision = 10
  loaded = loading.load(small)
  assert everything(loaded).masks['vision'].sum(axis=1).tolist() == [20] * 9
  first = loaded.names.index('vb[0]')
  np.testing.assert_allclose(everything(loaded).sequences['vision'][first, :3, 0], [0.5, 2.5, 4.5])
  assert loaded.sampling['vision'] == Sampling(pytest.approx(10), pytest.approx(10), 0)
  assert (
    'facet.csd: 10 frames a second (median over videos), averaged to 10 in 1 of 3 videos '
    '(config.data.frames_per_second).'
  ) in loaded.notes


def test_a_frame_that_straddles_clips_belongs_to_both(tmp_path, small):
  write_csd(
    tmp_path / 'words.csd',
    {'va': (np.array([[1.0], [2.0], [3.0]]), np.array([[0, 1.5], [1.5, 2.5], [2.5, 6.0]]))},
  )
  loaded = loading.load(small)
  words = (
    everything(loaded).sequences['language'][:3, :, 0] * everything(loaded).masks['language'][:3]
  )
  np.testing.assert_array_equal(words, [[1, 2], [2, 3], [3, 0]])


@pytest.mark.parametrize('missing, kept', [('mask', 9), ('drop', 5)])
def test_clips_without_a_modality_are_masked_or_dropped_by_name(tmp_path, small, missing, kept):
  write_csd(
    tmp_path / 'facet.csd', {v: (np.ones((1, 47)), np.array([[0.0, 99.0]])) for v in ('va', 'vb')}
  )
  small.data.missing = missing
  loaded = loading.load(small)
  assert len(loaded.names) == kept
  if missing == 'mask':
    assert not everything(loaded).masks['vision'][5:].any()
    assert any('vision 4 (first: vc[0])' in note for note in loaded.notes)
  else:
    assert list(loaded.left_out) == ['vc[0]', 'vc[1]', 'vc[2]', 'vc[3]']
    assert 'no frame of vision' in loaded.left_out['vc[0]']


def test_non_finite_values_become_zero_and_are_counted(tmp_path, small):
  features = np.ones((3, 2), np.float32)
  features[1] = [np.nan, -np.inf]
  spans = np.array([[0, 2], [2, 4], [4, 6]], float)
  write_csd(tmp_path / 'covarep.csd', {v: (features, spans) for v in ('va', 'vb', 'vc')})
  loaded = loading.load(small)
  np.testing.assert_array_equal(everything(loaded).sequences['audio'][1, 0], [0, 0])
  assert 'covarep.csd: non-finite values set to 0: 6.' in loaded.notes


def test_unlabelled_clips_are_left_out_by_name(tmp_path, small):
  spans = np.array([[0, 2], [2, 4], [4, 3]], float)
  write_csd(tmp_path / 'y.csd', {'va': (np.array([[1.0], [np.nan], [2.0]]), spans)})
  loaded = loading.load(small)
  assert loaded.names == ('va[0]',)
  assert list(loaded.left_out) == ['va[1]', 'va[2]']
  assert any('2 labelled clips left out: va[1]: its label is nan' in note for note in loaded.notes)


def test_a_label_out_of_range_leaves_its_clip_out_by_name(tmp_path, small):
  write_csd(tmp_path / 'y.csd', {'va': (np.array([[7.0], [-3.0]]), np.array([[0.0, 1], [1, 2]]))})
  loaded = loading.load(small)
  assert loaded.names == ('va[1]',)
  assert loaded.left_out == {'va[0]': 'its sentiment is 7, expected -3 to 3'}


def keyed_by_clip(videos):
  """{video: (features, intervals [n, 2])} with one row a clip, as entries `video[index]`."""
  return {
    f'{video}[{index}]': (features[index : index + 1], intervals[index : index + 1])
    for video, (features, intervals) in videos.items()
    for index in range(len(intervals))
  }


def read_all(path):
  with csd.ComputationalSequence(path) as sequence:
    return {video: sequence.read(video) for video in sequence.videos}


def frames_of(loaded, name):
  place = loaded.names.index(name)
  return {m: loaded.clips.rows(m, np.array([place])) for m in loaded.clips.frames}


def assert_same_clips(found, expected):
  assert found.names == expected.names and found.speakers == expected.speakers
  np.testing.assert_array_equal(found.labels, expected.labels)
  for name in expected.names:
    one, other = frames_of(found, name), frames_of(expected, name)
    assert list(one) == list(other)
    for modality, frames in other.items():
      np.testing.assert_array_equal(one[modality], frames, err_msg=f'{name} {modality}')


def test_entries_may_be_clips_that_are_aligned_already(tmp_path):
  """Twelve clips, so that sorting `v[10]` before `v[2]` would show."""
  files = write_corpus(tmp_path, {'va': 12, 'vb': 2})
  config = config_of(tmp_path, files)
  expected = loading.load(config)
  for field in ('labels', 'language', 'audio', 'vision'):
    whole = read_all(tmp_path / files[field])
    if field == 'labels':
      entries = keyed_by_clip(whole)
    else:
      entries = {}
      for name in expected.names:
        video, index = name[:-1].split('[')
        features, spans = whole[video]
        own = (spans[:, 1] > 2 * int(index) + 1e-9) & (spans[:, 0] < 2 * int(index) + 2 - 1e-9)
        entries[name] = features[own], spans[own]
    write_csd(tmp_path / f'cut_{files[field]}', entries, 'ModifiedTimestampedWords')
  # Clips in every file, or in the modalities alone, or in the labels alone.
  for cut in (('labels', 'language', 'audio', 'vision'), ('language', 'vision'), ('labels',)):
    config.data.update({field: f'cut_{files[field]}' for field in cut})
    found = loading.load(config)
    assert_same_clips(found, expected)
    config.data.update(files)


def test_a_folder_of_files_is_one_sequence_in_parts(tmp_path, small):
  expected = loading.load(small)
  (tmp_path / 'parts').mkdir()
  for video, arrays in read_all(tmp_path / 'facet.csd').items():
    write_csd(tmp_path / 'parts' / f'{video}.csd', {video: arrays}, video)
  small.data.vision = 'parts'
  assert_same_clips(loading.load(small), expected)
  write_csd(tmp_path / 'parts/z.csd', {'va': (np.ones((1, 47)), np.array([[0.0, 1.0]]))})
  with pytest.raises(UserError, match='z.csd: va is in va.csd too'):
    loading.load(small)
  (tmp_path / 'none').mkdir()
  small.data.vision = 'none'
  with pytest.raises(UserError, match='none: a folder without .csd files'):
    loading.load(small)


def test_a_clip_whose_name_or_label_is_not_one_is_left_out(tmp_path, small):
  spans = np.array([[0.0, 1.0]])
  write_csd(
    tmp_path / 'y.csd',
    {
      'va': (np.array([[1.0]]), spans),
      'va[0]': (np.array([[2.0]]), spans),
      'va[1]': (np.ones((2, 1)), np.tile(spans, (2, 1))),
    },
  )
  loaded = loading.load(small)
  assert loaded.names == ('va[0]',) and loaded.labels.tolist() == [1.0]
  assert loaded.left_out == {
    'va[1]': 'its entry has 2 labels, expected 1',
    'va[1] (2)': 'its entry has 2 labels, expected 1',
    'va[0] (2)': 'its name occurs before',
  }


MOSEI = np.array([[-1.0, 0, 0.25, 0.5, 1, 2, 3], [2.0, 3, 2, 1, 0.75, 4, 0.125]])


def write_labels(path, rows, names=None):
  write_csd(path, {'va': (rows, np.array([[0.0, 2.0], [2.0, 4.0]]))})
  if names is not None:
    with h5py.File(path, 'a') as file:
      file['any root/metadata/dimension names'] = names


@pytest.mark.parametrize(
  'target, labels',
  [
    ('sentiment', [-1, 2]),
    ('happiness', [0, 3]),
    ('sadness', [0.25, 2]),
    ('anger', [0.5, 1]),
    ('surprise', [1, 0.75]),
    ('fear', [3, 0.125]),
    ('0', [-1, 2]),
    ('4', [1, 0.75]),
  ],
)
def test_the_seven_columns_of_mosei_are_targets(tmp_path, small, target, labels):
  write_labels(tmp_path / 'y.csd', MOSEI)
  small.data.target = target
  assert loading.load(small).labels.tolist() == labels


def test_an_emotion_of_more_than_three_leaves_its_clip_out(tmp_path, small):
  write_labels(tmp_path / 'y.csd', MOSEI)
  small.data.target = 'disgust'
  loaded = loading.load(small)
  assert loaded.names == ('va[0]',)
  assert loaded.left_out == {'va[1]': 'its disgust is 4, expected 0 to 3'}


@pytest.mark.parametrize(
  'names',
  [
    '["fear", "happy", "sad", "anger", "surprise", "disgust", "sentiment"]',
    b"['fear', 'happy', 'sad', 'anger', 'surprise', 'disgust', 'sentiment']",
    'fear,happy,sad,anger,surprise,disgust,sentiment',
    [b'fear', b'happy', b'sad', b'anger', b'surprise', b'disgust', b'sentiment'],
  ],
)
def test_a_file_may_name_its_columns_in_another_order(tmp_path, small, names):
  write_labels(tmp_path / 'y.csd', MOSEI, names)
  small.data.target = 'fear'
  loaded = loading.load(small)
  assert loaded.left_out == {'va[0]': 'its fear is -1, expected 0 to 3'}
  assert loaded.labels.tolist() == [2]


def test_a_target_that_a_file_lacks_is_refused(tmp_path, small):
  write_labels(tmp_path / 'y.csd', MOSEI[:, 1:])  # the six emotions alone
  with pytest.raises(UserError, match='y.csd: its labels have 6 columns .* none of them sentiment'):
    loading.load(small)
  small.data.target = 'happiness'
  assert loading.load(small).labels.tolist() == [0, 3]
  write_labels(tmp_path / 'y.csd', MOSEI[:, :3])
  with pytest.raises(UserError, match=r'y.csd: its labels have 3 columns a clip \(unnamed\)'):
    loading.load(small)


def test_speakers_file_joins_videos(tmp_path, small):
  (tmp_path / 'who.csv').write_text('video,speaker\nva,ann\nvb,bob\nvc,ann \n')
  small.data.speakers = 'who.csv'
  loaded = loading.load(small)
  assert corpus.users_by_clips(loaded) == [('ann', 7), ('bob', 2)]
  assert '2 speakers in 3 videos, from who.csv.' in loaded.notes


def test_empty_root_is_explained():
  with pytest.raises(UserError, match='config.data.root is empty'):
    loading.load(mosi.get_config())


def test_real_mosi_loses_no_clip(mosi_root):
  loaded = loading.load(config_of(mosi_root, MOSI_FILES))
  assert len(loaded.names) == 2199 and not loaded.left_out
  assert len(set(loaded.speakers)) == 93
  instant = loaded.names.index('2WGyTLYerpo[43]')
  # Its two words at one instant, and the word that begins there.
  assert everything(loaded).masks['language'][instant].sum() == 3
  assert all(mask.any(axis=1).all() for mask in everything(loaded).masks.values())
  assert corpus.users_by_clips(loaded)[0] == ('2WGyTLYerpo', 63)
  assert 'clips of zero length: 2WGyTLYerpo[43].' in loaded.notes
