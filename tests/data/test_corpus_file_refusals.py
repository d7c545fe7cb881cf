"""Corpus files that do not fit: each is refused in a sentence that says what was expected."""

import json
import pathlib
import struct

import h5py
import numpy as np
import pytest
import writers

from persona_jax import data
from persona_jax.data import loading
from persona_jax.errors import UserError


@pytest.mark.parametrize(
  'change, complaint',
  [
    (lambda config: config.data.update(target='anger'), "target = 'anger': .*x.h5 has labels of s"),
    (lambda config: config.data.update(speakers='s.csv'), "speakers = 's.csv': .*x.h5 names the"),
    (lambda config: config.data.update(format='mmsa'), "format = 'mmsa': .*x.h5 is an HDF5 file"),
  ],
)
def test_a_config_that_the_file_does_not_fit_is_refused(saved, change, complaint):
  change(saved)
  with pytest.raises(UserError, match=f'config.data.{complaint}'):
    loading.load(saved)


def test_a_modality_that_is_not_there_is_refused(tmp_path, saved):
  saved.model.modalities = ('language', 'vision')
  data.save_corpus(loading.load(saved), tmp_path / 'x.h5')
  saved.model.modalities = ('language', 'audio')
  with pytest.raises(
    UserError,
    match='x.h5: frames/audio: no such dataset; take --config.model.modalities=language,vision',
  ):
    loading.load(saved)


def rewritten(file, name, content, **options):
  del file[name]
  file.create_dataset(name, data=content, **options)


def with_about(**fields):
  def change(file):
    about = json.loads(file['about'][:].tobytes()) | fields
    kept = {name: content for name, content in about.items() if content is not None}
    rewritten(file, 'about', np.frombuffer(json.dumps(kept).encode(), np.uint8))

  return change


def with_values(name, place, value):
  def change(file):
    file[name][place] = value

  return change


NAMES = [f'v[{n}]' for n in range(9)]
REFUSED = [
  (lambda file: file.attrs.pop('format'), 'an HDF5 file but no corpus file'),
  (lambda file: file.attrs.modify('format', 'other'), 'an HDF5 file but no corpus file'),
  (lambda file: file.attrs.modify('version', 2), 'version 2 of the format, expected 1; .* later'),
  (lambda file: file.attrs.modify('version', 0), 'version: expected an integer of at least 1'),
  (lambda file: file.attrs.pop('version'), 'version: expected an integer of at least 1'),
  (lambda file: file.pop('about'), 'about: no such dataset'),
  (lambda file: rewritten(file, 'about', np.ones(3)), r'about: float64\[3\], expected bytes'),
  (lambda file: rewritten(file, 'about', np.frombuffer(b'[' * 99999, np.uint8)), 'about: not JSON'),
  (lambda file: rewritten(file, 'about', np.frombuffer(b'\xff{}', np.uint8)), 'about: not JSON'),
  (lambda file: rewritten(file, 'about', np.zeros(2**23, np.uint8)), 'about: 8388608 bytes, exp'),
  (with_about(names=None), 'about/names: expected this field'),
  (with_about(names=[1] * 9), 'about/names: expected a list of texts'),
  (with_about(names=[]), 'about/names: expected at least one clip'),
  (with_about(names=['v'] * 9), 'about/names: expected every clip once'),
  (with_about(names=NAMES[:8], speakers=['v'] * 8), r'labels: float32\[9\], expected float32\[8\]'),
  (with_about(speakers=['v']), 'about/speakers: expected 9 of them'),
  (with_about(left_out={'w': 1}), 'about/left_out: expected a reason in words'),
  (with_about(names=NAMES, left_out={'v[0]': 'x'}), 'about/left_out: expected no clip of about/n'),
  (with_about(sampling={'audio': {}}), 'about/sampling: expected file_rate, num_cut, rate'),
  (
    with_about(sampling={'audio': dict(file_rate=float('nan'), rate=1, num_cut=0)}),
    'about/sampling/file_rate: expected frames a second',
  ),
  (
    with_about(sampling={'audio': dict(file_rate=1, rate=1, num_cut=-1)}),
    'about/sampling/num_cut: expected a number of clips',
  ),
  (with_about(target='joy'), 'about/target: expected one of sentiment'),
  (with_about(target=[]), 'about/target: expected a text'),
  (lambda file: file.pop('labels'), 'labels: no such dataset'),
  (with_values('labels', 1, np.nan), r"labels: of clip 'va\[1\]', its label is nan"),
  (with_values('labels', 0, 3.5), r"labels: of clip 'va\[0\]', its sentiment is 3.5, expected -3"),
  (lambda file: file.create_dataset('oracle', data=np.ones(9)), r'oracle: float64\[9\], expected'),
  (lambda file: file.create_dataset('oracle', data=np.float32([np.inf] * 9)), 'oracle: a value'),
  (lambda file: file.pop('frames'), 'frames: expected some of language, audio, vision'),
  (lambda file: file.pop('lengths/audio'), 'lengths/audio: no such dataset'),
  (with_values('lengths/audio', 0, -1), 'lengths/audio: one is negative'),
  (with_values('lengths/audio', 0, 26), r'frames/audio: float32\[225, 74\], expected 226 frames'),
  (with_values('lengths/audio', (), 2**31 - 1), 'frames/audio: 19327352823 frames, expected at m'),
  (lambda file: rewritten(file, 'frames/audio', np.ones(225)), r'float64\[225\], expected float32'),
  (with_values('frames/audio', (224, 73), np.inf), 'frames/audio: a value is not finite'),
  (
    lambda file: rewritten(file, 'frames/audio', file['frames/audio'][:], chunks=(5, 74)),
    'frames/audio: is not stored in one piece',
  ),
  (
    lambda file: rewritten(file, 'frames/audio', None, shape=(225, 74), dtype='f4'),
    r'frames/audio: declares float32\[225, 74\], which the file does not hold',
  ),
  (
    lambda file: rewritten(
      file, 'frames/audio', None, shape=(225, 74), dtype='f4', external=[('raw', 0, 66600)]
    ),
    'frames/audio: keeps its values in another file',
  ),
]


@pytest.mark.parametrize('change, complaint', REFUSED)
def test_what_does_not_fit_is_refused(tmp_path, saved, change, complaint):
  (tmp_path / 'raw').write_bytes(bytes(66600))
  with h5py.File(writers.path_of(saved), 'a') as file:
    change(file)
  with pytest.raises(UserError, match=f'x.h5: (.*: )?{complaint}') as caught:
    loading.load(saved)
  assert '\n' not in str(caught.value) and str(caught.value)[-1] == '.'


def test_links_are_not_followed(tmp_path, saved, tiny):
  writers.corpus_file(tmp_path / 'secret.h5', tiny)
  with h5py.File(writers.path_of(saved), 'a') as file:
    del file['frames/audio']
    file['frames/audio'] = h5py.ExternalLink('secret.h5', '/frames/audio')
  with pytest.raises(UserError, match="x.h5: frames/audio: 'audio' is a link to another place"):
    loading.load(saved)


def test_frames_beyond_the_end_of_the_file_are_refused(saved):
  """The header is changed to declare a million frames, and the lengths to fit."""
  path = pathlib.Path(writers.path_of(saved))
  with h5py.File(path, 'a') as file:
    rows = int(file['lengths/vision'][:].sum())
    file['lengths/vision'][0] += 1_000_000 - rows
  content, declared = path.read_bytes(), struct.pack('<QQ', rows, 47)
  assert declared in content
  path.write_bytes(content.replace(declared, struct.pack('<QQ', 1_000_000, 47)))
  with pytest.raises(UserError, match='x.h5: frames/vision: .*invalid dataset size'):
    loading.load(saved)
  path.write_bytes(content[:-1000])
  with pytest.raises(UserError, match='x.h5: .*truncated'):
    loading.load(saved)
