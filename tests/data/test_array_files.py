"""Arrays in files of numpy: what is read, and what is refused before room is made."""

import tracemalloc
import zipfile

import numpy as np
import pytest

from persona_jax.data import array_files
from persona_jax.data.array_files import Unusable

BILLION = (
  b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 4), }"
)
BILLION = BILLION.ljust(127) + b'\n' + bytes(64)


@pytest.fixture
def folder(tmp_path):
  root = tmp_path / 'table'
  root.mkdir()
  np.save(root / 'x.npy', np.eye(2))
  np.save(root / 'empty.npy', np.zeros((0, 2)))
  np.savez_compressed(root / 'x.npz', audio=np.eye(2), vision=np.zeros((0, 3)))
  np.save(tmp_path / 'outside.npy', np.eye(2))
  (root / 'billion.npy').write_bytes(BILLION)
  with zipfile.ZipFile(root / 'billion.npz', 'w') as archive:
    archive.writestr('audio.npy', BILLION)
  np.save(root / 'objects.npy', np.array([{}]), allow_pickle=True)
  np.savez(root / 'objects.npz', audio=np.array([{}], object))
  return root


def test_reads_one_array_or_several(folder):
  np.testing.assert_array_equal(array_files.load(folder, 'x.npy'), np.eye(2))
  assert array_files.load(folder, 'empty.npy').shape == (0, 2)
  found = array_files.load(folder, '../table/x.npz')
  assert {name: array.shape for name, array in found.items()} == {
    'audio': (2, 2),
    'vision': (0, 3),
  }


@pytest.mark.parametrize(
  'name, complaint',
  [
    ('../outside.npy', 'not in the folder of the table'),
    ('/dev/zero', 'not in the folder of the table'),
    ('.', 'cannot be read'),
    ('none.npy', 'none.npy cannot be read'),
    ('billion.npy', 'billion.npy is no array of numpy'),
    ('billion.npz', r'billion.npz is no array of numpy \(declares float64\[1000000000, 4\] in 192'),
    ('objects.npy', 'objects.npy is no array of numpy'),
    ('objects.npz', 'objects.npz is no array of numpy'),
  ],
)
def test_what_is_refused_takes_no_room(folder, name, complaint):
  tracemalloc.start()
  try:
    with pytest.raises(Unusable, match=complaint):
      array_files.load(folder, name)
    assert tracemalloc.get_traced_memory()[1] < 1e6
  finally:
    tracemalloc.stop()


def test_zeros_that_were_compressed_well_are_refused(folder, monkeypatch):
  """80 kB in less than 1 kB; what a file may always hold is more than that, 64 MiB."""
  np.savez_compressed(folder / 'zeros.npz', audio=np.zeros((100, 100)))
  assert array_files.load(folder, 'zeros.npz')['audio'].shape == (100, 100)
  monkeypatch.setattr(array_files, '_ALWAYS', 1000)
  with pytest.raises(Unusable, match='declares more than a file of this size can hold'):
    array_files.load(folder, 'zeros.npz')
