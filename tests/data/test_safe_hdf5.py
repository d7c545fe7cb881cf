"""Hostile HDF5 files: nothing outside is read, and no room is made for what they declare."""

import tracemalloc
import zlib

import h5py
import numpy as np
import pytest

from persona_jax.data import safe_hdf5
from persona_jax.data.csd import ComputationalSequence
from persona_jax.errors import UserError

SPAN = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])


@pytest.fixture
def secret(tmp_path):
  """Another file, which has what the hostile one pretends to have."""
  path = tmp_path / 'secret.h5'
  with h5py.File(path, 'w') as file:
    file['r/data/v/features'], file['r/data/v/intervals'] = np.full((3, 2), 42.0), SPAN
  (tmp_path / 'raw').write_bytes(np.full(6, 42.0).tobytes())
  return path


def external_link(file, secret):
  file['r/data/v/features'] = h5py.ExternalLink(secret, '/r/data/v/features')


def external_entry(file, secret):
  del file['r/data/v']
  file['r/data/v'] = h5py.ExternalLink(secret, '/r/data/v')


def external_root(file, secret):
  del file['r']
  file['r'] = h5py.ExternalLink(secret, '/r')


def soft_through_external(file, secret):
  file['r/x'] = h5py.ExternalLink(secret, '/r')
  file['r/data/v/features'] = h5py.SoftLink('/r/x/data/v/features')


def external_storage(file, secret):
  file['r/data/v'].create_dataset(
    'features', (3, 2), 'f8', external=[(secret.with_name('raw'), 0, 48)]
  )


def virtual(file, secret):
  layout = h5py.VirtualLayout((3, 2), 'f8')
  layout[:] = h5py.VirtualSource(secret, 'r/data/v/features', (3, 2))
  file['r/data/v'].create_virtual_dataset('features', layout)


def references(file, _):
  refs = np.array([[file['r'].ref] * 2] * 3, dtype=h5py.ref_dtype)
  file['r/data/v'].create_dataset('features', data=refs, dtype=h5py.ref_dtype)


@pytest.mark.parametrize(
  'make, complaint',
  [
    (external_link, r"r/data/v: 'features' is a link to another place"),
    (external_entry, r"r/data/v: 'v' is a link to another place"),
    (external_root, r"x.csd: 'r' is a link to another place"),
    (soft_through_external, r"r/data/v: 'features' is a link to another place"),
    (external_storage, 'r/data/v: keeps its values in another file'),
    (virtual, 'r/data/v: keeps its values in another file'),
    (references, 'r/data/v/features: holds object, expected numbers'),
  ],
)
def test_nothing_outside_the_file_is_read(tmp_path, secret, make, complaint):
  with h5py.File(tmp_path / 'x.csd', 'w') as file:
    file['r/data/v/intervals'] = SPAN
    make(file, secret)
  with pytest.raises(UserError, match=f'x.csd: .*{complaint}|{complaint}'):
    with ComputationalSequence(tmp_path / 'x.csd') as sequence:
      sequence.read('v')


def write_gzip(path, shape, chunks, stored=None):
  """Zeros [shape] in compressed chunks; `stored` replaces the bytes of the first one."""
  with h5py.File(path, 'w') as file:
    file['r/data/v/intervals'] = SPAN
    dataset = file['r/data/v'].create_dataset(
      'features', shape, 'f8', chunks=chunks, compression='gzip'
    )
    if stored is not None:
      dataset.id.write_direct_chunk((0, 0), stored)
  return path


def peak_of_refusal(path, complaint):
  tracemalloc.start()
  try:
    with ComputationalSequence(path) as sequence:
      with pytest.raises(UserError, match=complaint):
        sequence.read('v')
    return tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()


@pytest.mark.parametrize('chunks', [(1000, 2), (10**8, 2)])
def test_a_billion_declared_rows_are_refused_before_room_is_made(tmp_path, chunks):
  path = write_gzip(tmp_path / 'x.csd', (10**9, 2), chunks)
  complaint = r'r/data/v: declares float64\[1000000000, 2\], more than a file of this size can hold'
  assert peak_of_refusal(path, complaint) < 1e6


def test_a_chunk_of_zeros_without_end_is_refused(tmp_path):
  """A chunk of three rows whose bytes inflate to 200 MB."""
  zeros = zlib.compressobj(9)
  stored = b''.join(zeros.compress(bytes(10**6)) for _ in range(200)) + zeros.flush()
  path = write_gzip(tmp_path / 'x.csd', (3, 2), (3, 2), stored)
  assert path.stat().st_size < 300_000
  assert peak_of_refusal(path, 'has a chunk that holds more than it declares') < 10e6


def test_entries_that_are_all_one_large_array_are_refused_together(tmp_path):
  """Sixty names for 8 MB of zeros: 480 MB from 10 kB."""
  path = write_gzip(tmp_path / 'x.csd', (10**6, 1), (10**5, 1))
  with h5py.File(path, 'a') as file:
    del file['r/data/v/intervals']
    file['r/data/v/intervals'] = np.zeros((1, 2))
    for number in range(59):
      file[f'r/data/w{number}'] = file['r/data/v']
  with ComputationalSequence(path) as sequence:
    with pytest.raises(UserError, match='more than a file of this size can hold'):
      for video in sequence.videos:
        try:
          sequence.read(video)
        except UserError as error:
          if 'do not fit' not in str(error):
            raise


def test_compressed_arrays_are_read(tmp_path):
  """Ten times smaller in the file, and in a large chunk, with checksum and shuffle."""
  features = np.arange(10**6, dtype=np.float64).reshape(-1, 10) // 100
  with h5py.File(tmp_path / 'x.csd', 'w') as file:
    file['r/data/v'] = (group := file.create_group('v'))
    group.create_dataset(
      'features',
      data=features,
      compression='gzip',
      shuffle=True,
      fletcher32=True,
      chunks=(10**5, 10),
    )
    group['intervals'] = np.zeros((10**5, 2))
  with ComputationalSequence(tmp_path / 'x.csd') as sequence:
    np.testing.assert_array_equal(sequence.read('v')[0], features)


def test_other_compression_is_refused(tmp_path):
  with h5py.File(tmp_path / 'x.csd', 'w') as file:
    file['r/data/v/intervals'] = SPAN
    file['r/data/v'].create_dataset('features', data=np.zeros((3, 2)), compression='lzf')
  with ComputationalSequence(tmp_path / 'x.csd') as sequence:
    with pytest.raises(UserError, match='compressed by other means than gzip .lzf.'):
      sequence.read('v')


@pytest.mark.parametrize(
  'value',
  [np.full(70_000, b'a'), 'a' * 70_000, np.array(['a' * 1000] * 100, h5py.string_dtype())],
)
def test_a_text_is_short(tmp_path, value):
  with h5py.File(tmp_path / 'x.csd', 'w') as file:
    file['r/data/v/intervals'], file['r/metadata/name'] = SPAN, value
  with ComputationalSequence(tmp_path / 'x.csd') as sequence:
    with pytest.raises(UserError, match='r/metadata/name: .*too long for a text'):
      sequence.metadata('name')


def test_numbers_are_no_text(tmp_path):
  with h5py.File(tmp_path / 'x.h5', 'w') as file:
    file['x'] = SPAN
  file = safe_hdf5.SafeFile(tmp_path / 'x.h5')
  dataset = safe_hdf5.child(file.root, 'x')
  assert isinstance(dataset, h5py.Dataset) and safe_hdf5.text(dataset) == []
  assert safe_hdf5.child(file.root, 'y') is None
  file.close()


def test_a_map_does_not_reach_beyond_the_file(tmp_path):
  """HDF5 sees to it when it opens a file; so the size is made one byte too small here."""
  with h5py.File(tmp_path / 'x.h5', 'w') as file:
    file['x'] = SPAN
  file = safe_hdf5.SafeFile(tmp_path / 'x.h5')
  dataset = file.root['x']
  np.testing.assert_array_equal(file.mapped(dataset), SPAN)
  file._size = dataset.id.get_offset() + SPAN.nbytes - 1
  with pytest.raises(safe_hdf5.Refused, match=r'declares float64\[3, 2\], which the file does not'):
    file.mapped(dataset)
  file.close()
