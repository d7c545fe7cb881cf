import h5py
import numpy as np
import pytest
from makers import write_csd

from persona_jax.data.csd import ComputationalSequence
from persona_jax.errors import UserError

SPAN = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])


def test_reads_any_root_name(tmp_path):
  features = np.arange(6.0).reshape(3, 2)
  path = write_csd(
    tmp_path / 'a.csd', {'v2': (features, SPAN), 'v1': (features + 1, SPAN)}, 'Odd/r'
  )
  # A slash nests groups in HDF5, so the root is "Odd" without data of its own: not a .csd.
  with pytest.raises(UserError, match='expected one root group'):
    ComputationalSequence(path)
  path = write_csd(
    tmp_path / 'b.csd', {'v2': (features, SPAN), 'v1': (features + 1, SPAN)}, 'Odd r'
  )
  with ComputationalSequence(path) as sequence:
    assert (sequence.root, sequence.videos, sequence.width()) == ('Odd r', ['v1', 'v2'], 2)
    read, intervals = sequence.read('v1')
  np.testing.assert_array_equal(read, features + 1)
  np.testing.assert_array_equal(intervals, SPAN)
  assert read.dtype == np.float32


def test_missing_and_foreign_files_are_named(tmp_path):
  with pytest.raises(UserError, match='nowhere.csd: no such file'):
    ComputationalSequence(tmp_path / 'nowhere.csd')
  (tmp_path / 'text.csd').write_text('not HDF5')
  with pytest.raises(UserError, match='text.csd: not readable as HDF5'):
    ComputationalSequence(tmp_path / 'text.csd')


@pytest.mark.parametrize(
  'features, intervals, complaint',
  [
    (np.zeros((3, 2)), SPAN[:2], r'v: features \(3, 2\) and intervals \(2, 2\)'),
    (np.zeros(3), SPAN, r'v: features \(3,\)'),
    (np.array([[b'it'], [b'was'], [b'fine']]), SPAN, 'v/features: holds .S4, expected numbers'),
    (
      np.zeros((3, 2)),
      np.array([[b'0', b'1']] * 3),
      'v/intervals: holds .S1, expected numbers .start and',
    ),
    (np.zeros((3, 2), [('a', 'f4')]), SPAN, 'v/features: holds .* expected numbers'),
    (np.float32(1), SPAN, r'v: features \(\) and intervals'),
    (np.zeros((3, 2)), np.float64(1), r'and intervals \(\) do not fit'),
  ],
)
def test_malformed_datasets_are_named(tmp_path, features, intervals, complaint):
  with ComputationalSequence(
    write_csd(tmp_path / 'x.csd', {'v': (features, intervals)})
  ) as sequence:
    with pytest.raises(UserError, match=complaint):
      sequence.read('v')


def test_video_without_intervals_is_named(tmp_path):
  with h5py.File(tmp_path / 'x.csd', 'w') as file:
    file.create_group('r/data/v')['features'] = np.zeros((1, 1))
  with ComputationalSequence(tmp_path / 'x.csd') as sequence:
    with pytest.raises(UserError, match='x.csd: r/data/v: expected the datasets'):
      sequence.read('v')


@pytest.mark.parametrize('name', ['features', 'intervals'])
def test_a_group_or_a_dangling_link_for_an_array_is_named(tmp_path, name):
  for number, broken in enumerate(
    (
      lambda group: group.create_group(name),
      lambda group: group.__setitem__(name, h5py.SoftLink('/nowhere')),
      lambda group: group.__setitem__(name, h5py.ExternalLink('no.h5', '/x')),
    )
  ):
    path = tmp_path / f'{number}.csd'
    with h5py.File(path, 'w') as file:
      group = file.create_group('r/data/v')
      (other,) = {'features', 'intervals'} - {name}
      group[other] = SPAN
      broken(group)
    with ComputationalSequence(path) as sequence:
      with pytest.raises(UserError, match=f'{number}.csd: r/data/v: '):
        sequence.read('v')


def test_a_video_that_is_an_array_or_a_dangling_link_is_named(tmp_path):
  with h5py.File(tmp_path / 'x.csd', 'w') as file:
    file['r/data/v'] = SPAN
    file['r/data/w'] = h5py.SoftLink('/nowhere')
  with ComputationalSequence(tmp_path / 'x.csd') as sequence:
    for video in 'vw':
      with pytest.raises(UserError, match=f'x.csd: r/data/{video}: '):
        sequence.read(video)


@pytest.mark.parametrize('name', [b'caf\xe9', b'a\nb', b'a\x1bb'])
def test_a_name_that_no_output_file_could_hold_is_refused(tmp_path, name):
  with h5py.File(tmp_path / 'x.csd', 'w') as file:
    group = file.create_group('r/data').create_group(name)
    group['features'] = group['intervals'] = SPAN
  with pytest.raises(UserError, match='expected a name of printable UTF-8 text'):
    ComputationalSequence(tmp_path / 'x.csd')


def test_a_broken_chunk_is_named(tmp_path):
  with h5py.File(tmp_path / 'x.csd', 'w') as file:
    group = file.create_group('r/data/v')
    group.create_dataset(
      'features', data=np.arange(3000.0).reshape(1000, 3), compression='gzip', chunks=(1000, 3)
    )
    group['intervals'] = np.tile(SPAN[:1], (1000, 1))
    offset = group['features'].id.get_chunk_info(0).byte_offset
  content = bytearray((tmp_path / 'x.csd').read_bytes())
  content[offset : offset + 40] = bytes(40)
  (tmp_path / 'x.csd').write_bytes(content)
  with ComputationalSequence(tmp_path / 'x.csd') as sequence:
    with pytest.raises(UserError, match='x.csd: r/data/v: not readable .* download the file again'):
      sequence.read('v')


def test_whatever_byte_is_damaged_the_file_is_read_or_named(tmp_path):
  """Damage to the tables of groups, links and types, too, ends in a sentence."""
  path = tmp_path / 'x.csd'
  with h5py.File(path, 'w') as file:
    group = file.create_group('r/data/v')
    group.create_dataset('features', data=np.arange(30.0).reshape(10, 3), compression='gzip')
    group['intervals'] = np.arange(20.0).reshape(10, 2)
  content = path.read_bytes()
  named = 0
  for place in range(0, len(content), 7):
    path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
    try:
      with ComputationalSequence(path) as sequence:
        for video in sequence.videos:
          sequence.read(video)
    except UserError as error:
      assert 'x.csd' in str(error)
      named += 1
  assert named > 50


def test_a_type_that_numpy_lacks_is_named(tmp_path):
  with h5py.File(tmp_path / 'x.csd', 'w') as file:
    group = file.create_group('r/data/v')
    group['intervals'] = SPAN
    h5py.h5d.create(group.id, b'features', h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((3, 2)))
  with ComputationalSequence(tmp_path / 'x.csd') as sequence:
    with pytest.raises(
      UserError, match='x.csd: r/data/v: not readable as HDF5 .*No NumPy equivalent'
    ):
      sequence.read('v')
