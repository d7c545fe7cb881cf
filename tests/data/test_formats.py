"""Every format that people have: a corpus written as each is loaded as the same corpus."""

import dataclasses
import pickle

import h5py
import numpy as np
import pytest
import writers
from makers import MOSI_FILES

from persona_jax.data import loading
from persona_jax.errors import UserError

EXACT = {
  'csd of videos': lambda root, corpus: writers.csd(root, corpus, by_clip=False),
  'csd of clips': lambda root, corpus: writers.csd(root, corpus, by_clip=True),
  'csd in parts': lambda root, corpus: writers.csd(root, corpus, by_clip=False, in_parts=True),
  'mmsa': lambda root, corpus: writers.mmsa(root / 'x.pkl', corpus),
  'mmsa, padded in front': lambda root, corpus: writers.mmsa(root / 'x.pkl', corpus, True, 5),
  'clips': lambda root, corpus: writers.table(root / 'clips.csv', corpus),
  'corpus': lambda root, corpus: writers.corpus_file(root / 'x.h5', corpus),
}
# What is zero at the ends of a clip is padding there, since nothing else tells.
WITHOUT_ZEROS = {
  'mult': lambda root, corpus: writers.mult(root / 'x.pkl', corpus),
  'mult, padded in front': lambda root, corpus: writers.mult(root / 'x.pkl', corpus, True, 5),
}


@pytest.fixture(scope='module')
def mosi(mosi_root):
  return loading.load(writers.config_of(mosi_root, **MOSI_FILES))


def without_zeros(frames):
  """The frames of a clip from the first to the last that is not all zeros."""
  trimmed = {}
  for modality, sequence in frames.items():
    places = np.flatnonzero((sequence != 0).any(axis=1))
    trimmed[modality] = sequence[places[0] : places[-1] + 1] if len(places) else sequence[:0]
  return trimmed


def first(corpus, count):
  return dataclasses.replace(
    corpus,
    names=corpus.names[:count],
    speakers=corpus.speakers[:count],
    labels=corpus.labels[:count],
    clips=corpus.clips._replace(
      starts={m: starts[:count] for m, starts in corpus.clips.starts.items()},
      lengths={m: lengths[:count] for m, lengths in corpus.clips.lengths.items()},
    ),
  )


@pytest.mark.parametrize('name', EXACT)
def test_a_small_corpus_comes_back(tmp_path, tiny, name):
  found = loading.load(EXACT[name](tmp_path, tiny))
  writers.assert_same(found, tiny)
  assert found.left_out == {}
  assert any('audio' not in note and 'vision 1' in note for note in found.notes)  # vc[0]


@pytest.mark.parametrize('name', WITHOUT_ZEROS)
def test_a_small_corpus_comes_back_from_mult(tmp_path, tiny, name):
  """It has no zero frames, so that none is taken for padding."""
  found = loading.load(WITHOUT_ZEROS[name](tmp_path, tiny))
  writers.assert_same(found, tiny)
  assert 'x.pkl: merged its splits train, valid, test; the study makes its own.' in found.notes


@pytest.mark.parametrize('name', EXACT)
def test_real_mosi_comes_back(tmp_path, mosi, name):
  """All of it, or 100 clips where every clip is a file or an entry, which takes long to write."""
  expected = first(mosi, 100) if name in ('csd of clips', 'csd in parts', 'clips') else mosi
  found = loading.load(EXACT[name](tmp_path, expected))
  writers.assert_same(found, expected)
  assert len(found.names) in (2199, 100) and found.left_out == {}


def test_real_mosi_comes_back_from_mult(tmp_path, mosi):
  """Words without a vector are lost where a clip begins or ends with them, as in 335 clips."""
  found = loading.load(WITHOUT_ZEROS['mult'](tmp_path, mosi))
  frames = writers.frames_of(mosi)
  expected = [without_zeros(clip) for clip in frames]
  writers.assert_same(found, mosi, expected)
  assert len(found.names) == 2199 and found.left_out == {}
  shorter = sum(
    len(one['language']) > len(other['language'])
    for one, other in zip(frames, expected, strict=True)
  )
  assert shorter == 335


def write_pickle(path, content):
  path.write_bytes(pickle.dumps(content, 4))
  return writers.config_of(path.parent, file=path.name)


def zeros(count, **fields):
  """A split of MulT's with `count` clips of two frames each, labels 0.5."""
  frames = np.ones((count, 2, 3))
  return dict(
    dict(text=frames, audio=frames + 1, vision=frames + 2, labels=np.full((count, 1, 1), 0.5)),
    **fields,
  )


def test_ids_of_mult_become_clips_and_none_is_lost(tmp_path):
  """Times number the clips of a video over all splits; every other id is left out by its place."""
  config = write_pickle(
    tmp_path / 'x.pkl',
    {
      'train': zeros(3, id=np.array([['v', '10', '11'], ['w', '0', '1'], ['v', '9.5', '10']])),
      'test': zeros(
        9,
        id=np.array(
          [
            ['v', '2', '3'],
            [b'v', b'10', b'11'],
            ['v', 'early', '3'],
            ['v', '', '0'],
            ['', '1', '2'],
            [b'\xff', '1', '2'],
            ['a\nb', '1', '2'],
            ['u[7]', '1', '2'],
            ['x', 'nan', '2'],
          ],
          object,
        ),
      ),
      'valid': zeros(2, id=np.array([['z_12'], ['z']])),
    },
  )
  found = loading.load(config)
  assert found.names == ('v[2]', 'w[0]', 'v[1]', 'v[0]', 'u[7]', 'z[12]')
  assert found.speakers == ('v', 'w', 'v', 'v', 'u', 'z')
  assert found.left_out == {
    'test[1]': 'its id is that of train[0]',
    'test[2]': "its id has 'early' in place of seconds",
    'test[3]': "its id '' is no printable text",
    'test[4]': "its id '' is no printable text",
    'test[5]': "its id b'\\xff' is not UTF-8",
    'test[6]': "its id 'a\\nb' is no printable text",
    'test[8]': "its id has 'nan' in place of seconds",
    'valid[1]': "its id 'z' has no index",
  }


def test_padding_of_mult(tmp_path):
  """Aligned: a step is padding where all are; otherwise each for itself. -inf is a value."""
  text = np.array([[[0.0], [1], [0], [0]], [[0.0], [0], [0], [0]]])
  audio = np.array([[[0.0], [0], [2], [0]], [[0.0], [-np.inf], [0], [0]]])
  split = dict(text=text, audio=audio, vision=audio + 0, labels=np.zeros((2, 1, 1)))
  split['id'] = np.array([['v[0]'], ['v[1]']])
  found = loading.load(write_pickle(tmp_path / 'x.pkl', {'train': split}))
  one, other = writers.frames_of(found)
  assert one['language'].tolist() == [[1], [0]] and one['audio'].tolist() == [[0], [2]]
  assert other['language'].tolist() == [] and other['audio'].tolist() == [[0]]
  assert 'x.pkl, audio: non-finite values set to 0: 1.' in found.notes
  assert 'clips kept with a modality masked: language 1 (first: v[1]).' in found.notes
  split['audio'] = np.concatenate([audio, np.zeros_like(audio)], axis=1)  # eight steps: not aligned
  found = loading.load(write_pickle(tmp_path / 'x.pkl', {'train': split}))
  assert writers.frames_of(found)[0]['language'].tolist() == [[1]]
  assert writers.frames_of(found)[0]['audio'].tolist() == [[2]]


def test_labels_of_mult_may_be_emotions(tmp_path):
  split = zeros(2, id=np.array([['v[0]'], ['v[1]']]))
  split['labels'] = np.array([[[0, 1, 2, 3, 0, 0.5]], [[3, 2, 1, 0, 0, 3.3]]])
  config = write_pickle(tmp_path / 'x.pkl', {'train': split})
  with pytest.raises(UserError, match='x.pkl: train/labels: its labels have 6 columns'):
    loading.load(config)
  config.data.target = 'surprise'
  assert loading.load(config).labels.tolist() == [3, 0]
  config.data.target = 'fear'
  assert loading.load(config).left_out == {'v[1]': 'its fear is 3.3, expected 0 to 3'}


LARGE = np.ones((3, 2000, 3))


def of_mmsa(count, **fields):
  frames = np.ones((count, 4, 3), np.float32)
  return dict(
    dict(
      text=frames,
      audio=frames,
      vision=frames,
      regression_labels=np.linspace(-1, 1, count),
      id=[f'v$_${n}' for n in range(count)],
    ),
    **fields,
  )


def test_ids_and_lengths_of_mmsa(tmp_path):
  audio = np.ones((6, 4, 3))
  audio[0, 2:] = audio[1, :3] = audio[2] = 0
  split = of_mmsa(
    6,
    audio=audio,
    audio_lengths=[2, 1, 3, 2, 5, 0],
    id=['v$_$0', b'v$_$1', 'v$_$2', 'v$_$3', 'v$_$4', 'v_5'],
  )
  found = loading.load(write_pickle(tmp_path / 'x.pkl', {'train': split}))
  assert found.names == ('v[0]', 'v[1]', 'v[2]', 'v[3]')
  lengths = [len(frames['audio']) for frames in writers.frames_of(found)]
  assert lengths == [2, 1, 3, 4]  # at the end, in front, of zeros, and one that does not fit
  assert (
    'x.pkl, audio: clips whose length does not fit their zeros, which were used instead: 1.'
    in found.notes
  )
  assert found.left_out == {
    'v[4]': 'audio has length 5, expected 0 to 4',
    'train[5]': "its id 'v_5' is not video$_$clip",
  }


def test_text_bert_is_the_mask_of_text_or_features(tmp_path):
  pieces = np.zeros((2, 3, 4))
  pieces[:, 1] = [[1, 1, 1, 0], [1, 0, 0, 0]]
  config = write_pickle(tmp_path / 'x.pkl', {'train': of_mmsa(2, text_bert=pieces)})
  assert [len(each['language']) for each in writers.frames_of(loading.load(config))] == [3, 1]
  config.data.mmsa_language = 'text_bert'
  with pytest.raises(UserError, match='train/text_bert: numbers of word pieces, not features'):
    loading.load(config)
  write_pickle(tmp_path / 'x.pkl', {'train': of_mmsa(2, text_bert=np.full((2, 4, 5), 0.5))})
  assert writers.frames_of(loading.load(config))[0]['language'].shape == (4, 5)


@pytest.mark.parametrize(
  'change, complaint',
  [
    (lambda split: split.pop('audio'), 'train/audio: no such field; found '),
    (lambda split: split.pop('id'), 'train/id: no such field'),
    (lambda split: split.pop('labels'), 'train/labels: no such field'),
    (lambda split: split.update(audio='text'), 'train/audio: str, expected an array of numbers'),
    (lambda split: split.update(audio=np.array(['a'] * 3)), 'train/audio: <U1, expected an array'),
    (lambda split: split.update(audio=np.ones((3, 2))), r'train/audio: shape \[3, 2\], expected'),
    (lambda split: split.update(audio=np.ones((2, 2, 3))), 'audio: 2 clips, the ids are of 3'),
    (lambda split: split.update(labels=np.ones((2, 1))), 'labels: 2 clips, the ids are of 3'),
    (lambda split: split.update(id='v'), 'train/id: str, expected one id per clip'),
    (
      lambda split: split.update(dict.fromkeys(('text', 'audio'), LARGE)),
      'one array is in several places',
    ),
    (lambda split: split.update(labels=np.full(3, np.nan)), 'none of its 3 clips could be used'),
  ],
)
def test_a_field_that_is_missing_or_of_another_shape_is_named(tmp_path, change, complaint):
  split = zeros(3, id=np.array([['v[0]'], ['v[1]'], ['v[2]']]))
  change(split)
  config = write_pickle(tmp_path / 'x.pkl', {'train': split})
  config.data.format = 'mult'
  with pytest.raises(UserError, match=f'x.pkl: .*{complaint}'):
    loading.load(config)


def test_splits_of_other_widths_are_refused(tmp_path):
  narrow = zeros(1, id=np.array([['w[0]']]))
  narrow['vision'] = np.ones((1, 2, 2))
  content = {'train': zeros(1, id=np.array([['v[0]']])), 'test': narrow}
  with pytest.raises(UserError, match='test/vision: 2 wide, the first split 3'):
    loading.load(write_pickle(tmp_path / 'x.pkl', content))


def test_a_table_is_a_corpus(tmp_path, tiny):
  """Users are speakers; lines without a label, or of another width, are left out by name."""
  config = writers.table(tmp_path / 'clips.csv', tiny)
  text = (tmp_path / 'clips.csv').read_text().splitlines()
  np.save(tmp_path / 'wide.npy', np.ones((2, 9)))
  np.save(tmp_path.parent / 'outside.npy', np.ones((2, 5)))
  first_line = text[1].split(',')
  text[1] = ','.join([first_line[0], 'ann', *first_line[2:]])
  text += ['new,bo,,clips/0.language.npy,,', 'odd,bo,1,wide.npy,,', 'far,bo,1,../outside.npy,,']
  text += ['high,bo,3.5,clips/0.language.npy,,', 'empty,bo,1,,,']
  (tmp_path / 'clips.csv').write_text('\n'.join(text) + '\n')
  found = loading.load(config)
  assert found.names == tiny.names and found.speakers[0] == 'ann'
  assert found.speakers[1:] == tiny.speakers[1:]
  reasons = list(found.left_out.items())
  assert [name for name, _ in reasons] == [
    'line 12 (clip odd)',
    'line 13 (clip far)',
    'line 14 (clip high)',
    'line 15 (clip empty)',
    'new',
  ]
  assert reasons[1][1] == '../outside.npy is not in the folder of the table'
  assert reasons[2][1] == 'label 3.5, expected -3 to 3' and reasons[4][1] == 'it has no label'
  config.data.target = 'anger'
  assert 'label 3.5, expected 0 to 3' in loading.load(config).left_out['line 14 (clip high)']


@pytest.mark.parametrize(
  'file, given, complaint',
  [
    ('x.pkl', 'csd', "config.data.format = 'csd': .*x.pkl is a pickle; expected 'mult' or 'mmsa'"),
    ('x.csv', 'mmsa', "config.data.format = 'mmsa': .*x.csv looks like a table; expected 'clips'"),
    ('', 'mult', "config.data.format = 'mult': config.data.file is empty"),
    ('x.h5', 'mult', "config.data.format = 'mult': .*x.h5 is an HDF5 file; expected 'corpus'"),
    ('x.h5', '', 'x.h5: an HDF5 file but no corpus file .*; name computational sequences'),
    ('none', '', 'none: cannot be read'),
  ],
)
def test_a_format_that_does_not_fit_is_refused(tmp_path, file, given, complaint):
  (tmp_path / 'x.pkl').write_bytes(pickle.dumps({}))
  (tmp_path / 'x.csv').write_text('clip,label\n')
  h5py.File(tmp_path / 'x.h5', 'w').close()
  with pytest.raises(UserError, match=complaint):
    loading.load(writers.config_of(tmp_path, file=file, format=given))
