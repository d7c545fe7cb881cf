"""Our own corpus file: what is saved comes back, and anything else is refused in a sentence."""

import dataclasses
import json
import os
import pathlib
import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest
import writers
from makers import MOSI_FILES

from configs import synthetic
from persona_jax import data
from persona_jax.data import corpus as corpus_lib
from persona_jax.data import corpus_about, corpus_reader, loading
from persona_jax.data.joining import join_clips
from persona_jax.data.resample import Sampling
from persona_jax.errors import UserError


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
  """va[0] to va[3], vb[0], vb[1], vc[0] to vc[2]; without words of vb[0] and vision of vc[0]."""
  return writers.tiny(tmp_path_factory.mktemp('tiny'))


@pytest.fixture
def saved(tmp_path, tiny):
  """A config of the tiny corpus in a file of its own."""
  return writers.corpus_file(tmp_path / 'x.h5', tiny)


def path_of(config):
  return f'{config.data.root}/{config.data.file}'


def changing(corpus, **fields):
  return dataclasses.replace(corpus, **fields)


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
  expected = changing(tiny, left_out=left_out, sampling={'audio': Sampling(100.0, 12.5, 3)})
  data.save_corpus(expected, path_of(saved))  # in place of the file that is there
  found = data.load_corpus(path_of(saved))
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
  with h5py.File(path_of(saved), 'a') as file:
    change(file)
  with pytest.raises(UserError, match=f'x.h5: (.*: )?{complaint}') as caught:
    loading.load(saved)
  assert '\n' not in str(caught.value) and str(caught.value)[-1] == '.'


def test_links_are_not_followed(tmp_path, saved, tiny):
  writers.corpus_file(tmp_path / 'secret.h5', tiny)
  with h5py.File(path_of(saved), 'a') as file:
    del file['frames/audio']
    file['frames/audio'] = h5py.ExternalLink('secret.h5', '/frames/audio')
  with pytest.raises(UserError, match="x.h5: frames/audio: 'audio' is a link to another place"):
    loading.load(saved)


def test_frames_beyond_the_end_of_the_file_are_refused(saved):
  """The header is changed to declare a million frames, and the lengths to fit."""
  path = pathlib.Path(path_of(saved))
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


@pytest.mark.parametrize(
  'change, complaint',
  [
    (dict(labels=np.float32([0] * 8 + [4])), r"labels: of clip 'vc\[2\]', its sentiment is 4"),
    (dict(notes=('x' * corpus_about.MOST_BYTES,)), 'about: 62.* bytes of names and notes, expec'),
  ],
)
def test_a_corpus_that_could_not_be_loaded_is_not_saved(tmp_path, tiny, change, complaint):
  with pytest.raises(UserError, match=f'y.h5: {complaint}'):
    data.save_corpus(changing(tiny, **change), tmp_path / 'y.h5')
  assert list(tmp_path.iterdir()) == []


def test_frames_that_are_not_finite_are_not_saved(tmp_path, tiny):
  frames = dict(tiny.clips.frames, vision=np.where(tiny.clips.frames['vision'] > 2, np.inf, 0))
  frames['vision'] = frames['vision'].astype(np.float32)
  broken = changing(tiny, clips=tiny.clips._replace(frames=frames))
  with pytest.raises(UserError, match='y.h5: frames/vision: a value is not finite'):
    data.save_corpus(broken, tmp_path / 'y.h5')
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError(28, 'No space left on device')])
def test_a_writer_that_fails_leaves_what_was_there(saved, tiny, monkeypatch, error):
  before = os.listdir(saved.data.root), open(path_of(saved), 'rb').read()

  def rows(clips, modality):
    yield from clips.frames[modality][None, :2]
    raise error

  monkeypatch.setattr(corpus_lib, 'rows_of', rows)
  with pytest.raises((KeyboardInterrupt, UserError)):
    data.save_corpus(tiny, path_of(saved))
  assert (os.listdir(saved.data.root), open(path_of(saved), 'rb').read()) == before


KILLED = """
import os, signal, sys, time
from configs import synthetic
from persona_jax import data
from persona_jax.data import corpus, loading
from persona_jax.runtime import preemption

made, whole = loading.load(synthetic.get_config('smoke')), corpus.rows_of

def rows(clips, modality):
  for place, found in enumerate(whole(clips, modality)):
    yield found
    print(sorted(os.listdir(sys.argv[1])))
    os.kill(os.getpid(), signal.Signals[sys.argv[2]])
    while not preemption.requested():
      time.sleep(0.01)

corpus.rows_of = rows
preemption.run(lambda: data.save_corpus(made, sys.argv[1] + '/x.h5'), 'convert', 60)
"""


@pytest.mark.parametrize('signal, number', [('SIGINT', 2), ('SIGTERM', 15)])
def test_a_writer_that_is_stopped_leaves_nothing(tmp_path, signal, number):
  process = subprocess.run(
    [sys.executable, '-c', KILLED, str(tmp_path), signal], capture_output=True, text=True
  )
  assert process.stdout == "['.x.h5.tmp']\n" and process.returncode == 128 + number
  assert f'stopped by {signal} before the file was whole; nothing is left' in process.stderr
  assert os.listdir(tmp_path) == []
