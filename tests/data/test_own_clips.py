"""A person's own clips: what is read of a CSV, and why a line is not."""

import numpy as np
import pytest

from persona_jax.data import own_clips
from persona_jax.errors import UserError
from persona_jax.types import Clips

WIDTHS = {'language': 4, 'audio': 2}


@pytest.fixture
def folder(tmp_path):
  random = np.random.default_rng(0)
  np.save(tmp_path / 'words.npy', random.normal(size=(5, 4)))
  np.save(tmp_path / 'voice.npy', random.normal(size=2).astype(np.float32))
  np.savez(tmp_path / 'both.npz', language=np.ones((2, 4)), audio=np.ones((3, 2)), other=1)
  np.save(tmp_path / 'wide.npy', np.ones((5, 9)))
  np.save(tmp_path / 'nan.npy', np.full((5, 4), np.nan))
  np.save(tmp_path / 'huge.npy', np.full((2, 4), 1e300))
  np.save(tmp_path / 'text.npy', np.array([['a'] * 4]))
  np.save(tmp_path / 'objects.npy', np.array([print], object), allow_pickle=True)
  (tmp_path / 'noise.npy').write_bytes(b'\x93NUMPY no array')
  return tmp_path


def table(folder, *lines, header='clip,user,label,language,audio'):
  path = folder / 'clips.csv'
  path.write_text('\n'.join([header, *lines]) + '\n')
  return path


def test_features_labels_and_missing_modalities(folder):
  path = table(folder, 'a,ann,1.5,words.npy,voice.npy', 'b,,,words.npy,', 'c,bo,-3,,voice.npy')
  found = own_clips.read(path, WIDTHS)
  assert found.names == ('a', 'b', 'c') and found.users == ('ann', '', 'bo')
  np.testing.assert_array_equal(found.labels, np.float32([1.5, np.nan, -3]))
  assert {m: mask.sum(axis=1).tolist() for m, mask in found.clips.masks.items()} == {
    'language': [5, 5, 0],
    'audio': [1, 0, 1],
  }
  np.testing.assert_array_equal(
    found.clips.sequences['language'][0], np.load(folder / 'words.npy').astype(np.float32)
  )
  np.testing.assert_array_equal(found.clips.sequences['audio'][0, 0], np.load(folder / 'voice.npy'))
  assert found.left_out == {}


def test_one_npz_per_clip(folder):
  found = own_clips.read(table(folder, 'a,both.npz', header='clip,features'), WIDTHS)
  assert found.clips.masks['language'].sum() == 2 and found.clips.masks['audio'].sum() == 3


@pytest.mark.parametrize(
  'line, reason',
  [
    (',ann,1,words.npy,', 'no name in the column clip'),
    ('good,ann,1,words.npy,', 'the name occurs before'),
    ('x,ann,much,words.npy,', "label 'much' is no number"),
    ('x,ann,4,words.npy,', 'label 4, expected -3 to 3'),
    ('x,ann,nan,words.npy,', 'label nan, expected -3 to 3'),
    ('x,ann,1,,', 'no features'),
    ('x,ann,1,gone.npy,', 'gone.npy cannot be read'),
    ('x,ann,1,wide.npy,', r'language is float64\[5, 9\], expected numbers \[steps, 4\]'),
    ('x,ann,1,text.npy,', r'language is <U1\[1, 4\], expected numbers'),
    ('x,ann,1,nan.npy,', 'a value of language is not finite'),
    ('x,ann,1,huge.npy,', 'a value of language is not finite'),  # in float32
    ('x,ann,1,objects.npy,', 'objects.npy is no array of numpy'),
    ('x,ann,1,noise.npy,', 'noise.npy is no array of numpy'),
    ('x,ann,1,both.npz,', 'both.npz holds several arrays'),
  ],
)
def test_a_line_that_cannot_be_used_is_named_and_the_rest_is_read(line, reason, folder):
  found = own_clips.read(table(folder, 'good,ann,1,words.npy,voice.npy', line), WIDTHS)
  assert found.names == ('good',)
  ((where, why),) = found.left_out.items()
  assert where.startswith('line 3')
  with pytest.raises(AssertionError, match=reason):
    raise AssertionError(why)


@pytest.mark.parametrize(
  'text, said',
  [
    ('a,b\n1,2\n', 'no column clip; expected a header'),
    ('', 'no column clip'),
    ('clip,label\n', 'no clip can be used .there is no line.'),
    ('clip,label\nx,1\n', r'no clip can be used .line 2 \(clip x\): no features.'),
  ],
)
def test_a_table_that_cannot_be_used(text, said, tmp_path):
  (tmp_path / 'clips.csv').write_text(text)
  with pytest.raises(UserError, match=said):
    own_clips.read(tmp_path / 'clips.csv', WIDTHS)
  with pytest.raises(UserError, match='cannot be read'):
    own_clips.read(tmp_path / 'none.csv', WIDTHS)


def test_written_clips_are_read_back(tmp_path):
  random = np.random.default_rng(1)
  sequences = {
    m: random.normal(size=(3, 6, width)).astype(np.float32) for m, width in WIDTHS.items()
  }
  masks = {m: np.arange(6) < np.array([[6], [2], [0]]) for m in WIDTHS}
  masks['audio'][2, 0] = True  # a clip of one modality
  names, users = ['v[0]', 'x, "y"', 'é'], ['ann', 'ann', 'bo']
  own_clips.write(tmp_path / 'c.csv', Clips(sequences, masks), names, users, [1, -0.2, 3])
  found = own_clips.read(tmp_path / 'c.csv', WIDTHS)
  assert found.names == tuple(names) and found.users == tuple(users)
  np.testing.assert_array_equal(found.labels, np.float32([1, -0.2, 3]))
  for modality in WIDTHS:
    steps = found.clips.masks[modality].shape[1]
    np.testing.assert_array_equal(found.clips.masks[modality], masks[modality][:, :steps])
    valid = masks[modality][:, :steps, None]
    np.testing.assert_array_equal(
      found.clips.sequences[modality], np.where(valid, sequences[modality][:, :steps], 0)
    )
