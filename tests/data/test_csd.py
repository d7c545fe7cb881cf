import h5py
import numpy as np
import pytest
from makers import write_csd

from persona_jax.data.csd import ComputationalSequence
from persona_jax.errors import UserError

SPAN = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])


def test_reads_any_root_name(tmp_path):
  features = np.arange(6.0).reshape(3, 2)
  path = write_csd(tmp_path / 'a.csd', {'v2': (features, SPAN), 'v1': (features + 1, SPAN)}, 'Odd/r')
  # A slash nests groups in HDF5, so the root is "Odd" without data of its own: not a .csd.
  with pytest.raises(UserError, match='expected one root group'):
    ComputationalSequence(path)
  path = write_csd(tmp_path / 'b.csd', {'v2': (features, SPAN), 'v1': (features + 1, SPAN)}, 'Odd r')
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


@pytest.mark.parametrize('features, intervals, complaint', [
    (np.zeros((3, 2)), SPAN[:2], r'v: features \(3, 2\) and intervals \(2, 2\)'),
    (np.zeros(3), SPAN, r'v: features \(3,\)'),
    (np.array([[b'it'], [b'was'], [b'fine']]), SPAN, 'v/features: holds .S4, expected numbers'),
])
def test_malformed_datasets_are_named(tmp_path, features, intervals, complaint):
  with ComputationalSequence(write_csd(tmp_path / 'x.csd', {'v': (features, intervals)})) as sequence:
    with pytest.raises(UserError, match=complaint):
      sequence.read('v')


def test_video_without_intervals_is_named(tmp_path):
  with h5py.File(tmp_path / 'x.csd', 'w') as file:
    file.create_group('r/data/v')['features'] = np.zeros((1, 1))
  with ComputationalSequence(tmp_path / 'x.csd') as sequence:
    with pytest.raises(UserError, match='x.csd: r/data/v: expected the datasets'):
      sequence.read('v')
