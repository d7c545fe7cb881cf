"""Frames of half the size: config.data.dtype."""

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import writers
from makers import write_corpus, write_csd

from configs import synthetic
from persona_jax import config as config_lib
from persona_jax import data
from persona_jax.data import loading
from persona_jax.data.corpus import fingerprint
from persona_jax.errors import UserError


@pytest.fixture
def small(tmp_path):
  return writers.config_of(tmp_path, **write_corpus(tmp_path, {'va': 3, 'vb': 2}))


FORMATS = {
  'csd': lambda root, corpus: writers.csd(root, corpus, by_clip=False),
  'mult': lambda root, corpus: writers.mult(root / 'x.pkl', corpus),
  'mmsa': lambda root, corpus: writers.mmsa(root / 'x.pkl', corpus),
  'clips': lambda root, corpus: writers.table(root / 'clips.csv', corpus),
  'corpus': lambda root, corpus: writers.corpus_file(root / 'x.h5', corpus),
}


@pytest.mark.parametrize('name', FORMATS)
def test_every_loader_keeps_float16(tmp_path, small, name):
  expected = loading.load(small)
  config = FORMATS[name](tmp_path, expected)
  config.data.dtype = 'float16'
  found = loading.load(config)
  for place, frames in enumerate(writers.frames_of(found)):
    wanted = expected.clips.at(np.array([expected.names.index(found.names[place])]))
    for m, sequence in frames.items():
      assert sequence.dtype == np.float16
      np.testing.assert_array_equal(sequence, wanted.sequences[m][0].astype(np.float16))
  padded = found.clips.at(np.array([0]))
  assert all(x.dtype == np.float32 for x in padded.sequences.values())


def test_a_synthetic_corpus_keeps_float16():
  config = synthetic.get_config('smoke')
  config.data.dtype = 'float16'
  config_lib.validate(config)
  found = loading.load(config).clips.frames
  config.data.dtype = 'float32'
  for m, frames in loading.load(config).clips.frames.items():
    np.testing.assert_array_equal(found[m], frames.astype(np.float16))
    assert found[m].dtype == np.float16 and frames.dtype == np.float32
  config.data.dtype = 'float64'
  with pytest.raises(UserError, match="config.data.dtype = 'float64': expected 'float32' or"):
    config_lib.validate(config)


def test_a_corpus_file_keeps_float16(tmp_path, small):
  """Also where the config has float32, which padding makes of it."""
  small.data.dtype = 'float16'
  expected = loading.load(small)
  data.save_corpus(expected, tmp_path / 'x.h5', small)
  found = loading.load(writers.config_of(tmp_path, file='x.h5'))
  assert all(
    isinstance(x, np.memmap) and x.dtype == np.float16 for x in found.clips.frames.values()
  )
  assert fingerprint(found) == fingerprint(expected)


def test_what_float16_cannot_hold_is_refused(tmp_path, small):
  starts = np.arange(4.0)[:, None]
  features = np.full((4, 2), 65504.0)
  files = [tmp_path / 'covarep.csd', {'va': (features, starts + [0, 1])}]
  write_csd(*files)
  small.data.dtype = 'float16'
  assert loading.load(small).clips.frames['audio'].max() == 65504
  features[3, 1] = -70000
  write_csd(*files)
  with pytest.raises(UserError) as caught:
    loading.load(small)
  assert str(caught.value) == (
    "config.data.dtype = 'float16': audio of clip va[1] has the value -70000, which float16 cannot "
    "hold (at most 65504); set it to 'float32'."
  )
  small.data.dtype = 'float32'
  data.save_corpus(loading.load(small), tmp_path / 'x.h5')
  of_file = writers.config_of(tmp_path, file='x.h5', dtype='float16')
  with pytest.raises(UserError, match="'float16': audio of .*x.h5 has the value -70000"):
    loading.load(of_file)


LOADING = """
import json, pathlib, sys
import h5py
from configs import mosi
from persona_jax.data import loading
fields = json.load(sys.stdin)
config = mosi.get_config()
config.data.update(fields)
def peak():  # unlike ru_maxrss, it starts anew with the process
  lines = pathlib.Path('/proc/self/status').read_text().splitlines()
  return next(1024 * int(line.split()[1]) for line in lines if line.startswith('VmHWM'))
before = peak()
found = loading.load(config)
assert found.sampling['vision'].num_cut == 6000
print(sum(x.nbytes for x in found.clips.frames.values()), peak() - before)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='the peak is read from /proc')
@pytest.mark.parametrize('dtype', ['float32', 'float16'])
def test_loading_takes_the_frames_once(tmp_path, dtype):
  """300 videos of 20 clips; half of every clip is cut off, and nothing of it kept."""
  videos = {f'v{n}': 20 for n in range(300)}
  config = writers.config_of(tmp_path, **write_corpus(tmp_path, videos))
  config.data.update(dtype=dtype, max_steps=dict(language=2, audio=12, vision=15))
  ran = subprocess.run(
    [sys.executable, '-c', LOADING],
    input=json.dumps(config.data.to_dict()),
    capture_output=True,
    text=True,
    check=True,
  )
  size, grown = map(int, ran.stdout.split())
  assert grown < 1.3 * size + 30e6  # names, a video at a time, code that is loaded


def test_a_corpus_file_takes_no_room_for_its_frames(tmp_path):
  config = writers.config_of(tmp_path, **write_corpus(tmp_path, {f'v{n}': 20 for n in range(60)}))
  data.save_corpus(loading.load(config), tmp_path / 'x.h5')
  of_file = writers.config_of(tmp_path, file='x.h5')
  tracemalloc.start()
  found = loading.load(of_file)
  fingerprint(found)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  size = sum(x.nbytes for x in found.clips.frames.values())
  assert size > 14e6 and peak < 5.5e6  # blocks of 4 Mi values are checked, or 64 clips hashed
