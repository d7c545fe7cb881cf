"""How folds and trials are laid over devices and their memory."""

import functools

import jax
import numpy as np
import pytest

from persona_jax.runtime import parallel


def mesh(folds: int, trials: int) -> jax.sharding.Mesh:
  """Devices in rows; places are counted, nothing is run."""
  return jax.sharding.AbstractMesh((folds, trials), parallel.AXES)


@pytest.fixture
def accelerators(monkeypatch):
  """With 1000 bytes of memory for models."""
  monkeypatch.setattr(parallel, '_loops', lambda: False)
  monkeypatch.setattr(parallel, 'learning_bytes', lambda: 1000)


@pytest.mark.cpus
def test_groups_and_trials_fill_the_devices():
  folds = parallel.fold_mesh()
  assert folds.size == parallel.group_size(3, folds, fold_bytes=10**12) == 2
  rows, shared = parallel.trial_mesh(10), parallel.trial_mesh(3)  # of two devices
  assert dict(rows.shape) == {'fold': 2, 'trial': 1} and dict(shared.shape) == {
    'fold': 1,
    'trial': 2,
  }
  assert parallel.group_size(10, rows, 1) == 2 and parallel.group_size(3, shared, 1) == 1
  assert (
    parallel.vmapped_trials(40, 2, rows, 10**12) == parallel.vmapped_trials(1, 1, shared, 1) == 1
  )
  for count in (6, 40):
    assert parallel.trials_of_a_call(count, 4, rows) == 8
    assert parallel.trials_of_a_call(count, 4, shared) == 16


@pytest.mark.parametrize(
  'fold_bytes, size',
  [
    (10, 30),  # all
    (50, 15),  # 20 fit: two even groups
    (90, 10),  # 11 fit
    (600, 1),
    (10000, 1),
  ],
)  # one must do
def test_accelerators_hold_as_many_folds_as_memory_does(accelerators, fold_bytes, size):
  assert parallel.group_size(30, mesh(1, 1), fold_bytes) == size
  assert parallel.group_size(30 * 4 - 1, mesh(4, 1), fold_bytes) == 4 * size


@pytest.mark.parametrize(
  'trial_bytes, vmapped, length',
  [
    (2, 40, 40),  # all of ten folds: 10 x 40 x 2 = 800
    (3, 20, 40),  # 33 of each fold would fit: two even batches
    (30, 3, 42),  # 10 x 3 x 30 = 900
    (70, 1, 40),
    (10000, 1, 40),
  ],
)
def test_trials_of_all_folds_count_in_memory(accelerators, trial_bytes, vmapped, length):
  assert parallel.vmapped_trials(40, 10, mesh(1, 1), trial_bytes) == vmapped
  assert parallel.trials_of_a_call(40, vmapped, mesh(1, 1)) == length
  # Four devices with half of the folds and half of the trials each: 5 x 20 at a time.
  assert parallel.vmapped_trials(80, 20, mesh(2, 2), trial_bytes) == vmapped
  assert parallel.trials_of_a_call(80, vmapped, mesh(2, 2)) == 2 * length


@pytest.mark.cpus
@pytest.mark.parametrize(
  'count, share',
  [
    (8, 4),
    (6, 3),
    (7, 7),  # cannot be shared evenly
    (4, 4),  # two each are too few
  ],
)
def test_clips_are_shared_by_devices_where_there_are_enough(count, share):
  shares = []

  def doubled(clips):
    shares.append(len(clips))
    return 2 * clips

  clips = np.arange(count, dtype=np.float32)
  found = jax.jit(functools.partial(parallel.over_clips, doubled, least=3))(clips)
  np.testing.assert_array_equal(found, 2 * clips)
  assert set(shares) == {share}
  assert len(found.sharding.device_set) == count // share


def test_accelerators_share_no_clips(accelerators):
  clips = np.ones(8, np.float32)
  found = jax.jit(lambda clips: parallel.over_clips(lambda own: 2 * own, clips, 1))(clips)
  assert len(found.sharding.device_set) == 1
