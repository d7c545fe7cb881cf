"""launch.convert: from every loader to one file."""

import re

import numpy as np
import pytest
from launchers import complaint, run
from makers import SMALLEST, smallest_config, write_corpus

from persona_jax import data
from persona_jax.data import corpus, loading


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  return tmp_path_factory.mktemp('files')


@pytest.fixture(scope='module')
def flags(root):
  files = write_corpus(root, {'va': 4, 'vb': 3, 'vc': 3})
  return [
    '--config=configs/mosi.py',
    f'--config.data.root={root}',
    *(f'--config.data.{field}={name}' for field, name in files.items()),
  ]


def test_a_corpus_of_files_is_converted_and_used_as_it_says(flags, root):
  """check_data shows of the file what it shows of the original ones."""
  output = root / 'all.h5'
  said = run('convert', *flags, f'--output={output}', '--config.model.modalities=language,audio')
  size = output.stat().st_size
  assert said.startswith(f'{output}: 10 clips of 3 speakers, {size} bytes; left out: 0 clips.\n')
  told = re.search('`(.+)`', said)[1].split()
  assert told[1:] == [
    f'--config.data.root={root}',
    '--config.data.file=all.h5',
    '--config.model.modalities=language,audio',
  ]
  shown = run('check_data', *told, '--config.study.num_users=1', '--config.study.num_support=1')
  assert '| leave_one_out | 1 | va (4) | 2 | 1 |  | possible |' in shown
  again = run('convert', *told, f'--output={root / "again.h5"}', '--config.data.dtype=float16')
  assert '10 clips of 3 speakers' in again
  found = data.load_corpus(root / 'again.h5')
  whole = data.load_corpus(output)
  for m, frames in whole.clips.frames.items():
    np.testing.assert_array_equal(found.clips.frames[m], frames.astype(np.float16))


def test_a_synthetic_corpus_is_converted(tmp_path):
  run('convert', *SMALLEST, f'--output={tmp_path / "x.h5"}')
  expected = loading.load(smallest_config())
  assert corpus.fingerprint(data.load_corpus(tmp_path / 'x.h5')) == corpus.fingerprint(expected)


def test_what_is_there_is_not_written_over(flags, tmp_path):
  (tmp_path / 'x.h5').write_text('mine')
  assert 'x.h5: exists; remove it' in complaint('convert', *flags, f'--output={tmp_path}/x.h5')
  assert (tmp_path / 'x.h5').read_text() == 'mine'
  assert 'its folder does not exist' in complaint('convert', *flags, f'--output={tmp_path}/y/x.h5')
