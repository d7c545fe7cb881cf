"""Checkpoints: what was saved comes back, or is named, set aside and passed over."""

import errno
import os
import resource
import shutil

import jax
import ml_dtypes
import numpy as np
import pytest
from makers import break_file

from persona_jax.errors import UserError
from persona_jax.training import checkpoint
from persona_jax.training.checkpoint import Checkpoints


@pytest.fixture
def tree():
  random = np.random.default_rng(0)
  return {
    'weights': random.normal(size=(40, 30)).astype(np.float32),
    'half': random.normal(size=7).astype(ml_dtypes.bfloat16),
    'nested': (np.int32(3), np.array([True, False]), np.zeros((0, 2), np.float32)),
  }


def save(checkpoints, trees):
  with Checkpoints(checkpoints, 'stage', 'fold_00') as saved:
    for step, tree in trees.items():
      saved.save(step, tree)


def load(checkpoints, step, like):
  with Checkpoints(checkpoints, 'stage', 'fold_00') as saved:
    return saved.load(step, like)


def expect_equal(loaded, tree):
  assert jax.tree.structure(loaded) == jax.tree.structure(tree)
  for ours, theirs in zip(jax.tree.leaves(loaded), jax.tree.leaves(tree), strict=True):
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


def test_a_tree_comes_back_bit_by_bit(tree, tmp_path):
  save(tmp_path, {5: tree})
  expect_equal(load(tmp_path, 5, tree), tree)
  expect_equal(load(tmp_path, 5, jax.eval_shape(lambda: tree)), tree)


def test_only_the_newest_are_kept(tree, tmp_path):
  save(tmp_path, {step: tree for step in range(6)})
  with Checkpoints(tmp_path, 'stage', 'fold_00') as saved:
    assert saved.steps() == {3, 4, 5}


def test_a_step_that_orbax_refuses_is_an_error(tree, tmp_path):
  """Orbax answers False, and no more, where a newer step is there."""
  save(tmp_path, {5: tree})
  for step in (3, 5):
    with pytest.raises(
      UserError, match=f'fold_00: cannot be saved .*step {step}|step {step} is refused'
    ):
      save(tmp_path, {step: tree})
  expect_equal(load(tmp_path, 5, tree), tree)


def test_a_dict_of_arrays_needs_no_likeness(tmp_path):
  arrays = {
    'fs_ua-5': np.arange(6, dtype=np.float32).reshape(2, 3),
    'fs_ua_kd-10': np.zeros((0, 3)),
  }
  save(tmp_path, {1: arrays})
  expect_equal(load(tmp_path, 1, None), arrays)


@pytest.mark.parametrize('how', ['truncated', 'flipped'])
def test_whatever_file_is_damaged_no_wrong_number_is_read(how, tree, tmp_path, caplog):
  """Every file of a checkpoint in turn: it is read right, or named and set aside."""
  save(tmp_path / 'whole', {5: tree})
  num_files = sum(path.is_file() for path in (tmp_path / 'whole').rglob('5/**/*'))
  outcomes = []
  for which in range(num_files):
    checkpoints = tmp_path / str(which)
    save(checkpoints, {5: tree})
    folder = checkpoints / 'stage' / 'fold_00' / '5'
    path = break_file(folder, how, which)
    loaded = load(checkpoints, 5, tree)
    outcomes.append(loaded is None)
    if loaded is None:
      aside = checkpoints / 'damaged' / 'stage-fold_00-5-0'
      assert not folder.exists() and (aside / path.relative_to(folder)).is_file()
      assert f'{folder} is damaged' in caplog.text and str(aside) in caplog.text
    else:
      expect_equal(loaded, tree)
  assert outcomes[-1] and sum(outcomes) >= 3  # at least the numbers and the two indices of them


def test_numbers_that_are_whole_but_not_those_saved_are_damage(tree, tmp_path, caplog):
  """No part of the file is broken: only the checksum can tell."""
  save(tmp_path, {1: tree, 2: tree | {'weights': -tree['weights']}})
  one, two = (tmp_path / 'stage' / 'fold_00' / str(step) / 'leaves' for step in (1, 2))
  shutil.rmtree(two)
  shutil.copytree(one, two)
  assert load(tmp_path, 2, tree) is None
  assert 'its checksum differs' in caplog.text


def test_the_newest_undamaged_is_found(tree, tmp_path):
  save(tmp_path, {step: tree | {'weights': tree['weights'] * step} for step in (1, 2, 3)})
  break_file(tmp_path / 'stage' / 'fold_00' / '3', 'truncated')
  with Checkpoints(tmp_path, 'stage', 'fold_00') as saved:
    step, found = saved.newest(tree)
    assert step == 2 and saved.steps() == {1, 2}
  expect_equal(found, tree | {'weights': tree['weights'] * 2})
  with Checkpoints(tmp_path, 'stage', 'empty') as saved:
    assert saved.newest(tree) is None


@pytest.mark.parametrize(
  'trouble',
  [
    OSError(errno.EMFILE, 'Too many open files'),
    OSError(errno.ESTALE, 'Stale file handle'),
    MemoryError('no memory'),
    PermissionError(errno.EACCES, 'Permission denied'),
    ValueError('RESOURCE_EXHAUSTED: Error reading "a" [OS error 24: EMFILE Too many open files]'),
    ValueError('NOT_FOUND: Error opening "a" [OS error 2: ENOENT No such file or directory]'),
    ValueError('UNKNOWN: Error reading "a" [OS error 116: ESTALE Stale file handle]'),
  ],
  ids=str,
)
def test_a_machines_troubles_prove_no_damage(trouble, tree, tmp_path, monkeypatch):
  save(tmp_path, {1: tree})

  def fail(*args, **items):
    raise trouble

  with monkeypatch.context() as patch:
    patch.setattr(Checkpoints, '_restore', fail)
    with pytest.raises(
      UserError, match='fold_00/1: cannot be read at present .*it is left unchanged'
    ):
      load(tmp_path, 1, tree)
  expect_equal(load(tmp_path, 1, tree), tree)


def test_content_that_cannot_be_decompressed_is_damage(tree, tmp_path, monkeypatch):
  """TensorStore's words for it have no status in front; a flipped bit brings them now and then."""
  save(tmp_path, {1: tree})

  def fail(*args, **items):
    raise ValueError(
      'Error opening "zarr" driver: Error reading "bytes/.zarray" in OCDBT database at local file '
      '"a": Error decoding b-tree node: ZSTD_decompressStream() failed: Data corruption detected'
    )

  monkeypatch.setattr(Checkpoints, '_restore', fail)
  assert load(tmp_path, 1, tree) is None
  assert (tmp_path / 'damaged' / 'stage-fold_00-1-0').is_dir()


@pytest.mark.filterwarnings('ignore')  # Python's, of the event loop that Orbax could not open
def test_too_many_open_files_set_nothing_aside(tree, tmp_path):
  """The real thing: no descriptor is left."""
  save(tmp_path, {1: tree})
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  with Checkpoints(tmp_path, 'stage', 'fold_00') as saved:
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir('/dev/fd')) + 1, hard))
    try:
      with pytest.raises(UserError, match='cannot be read at present'):
        saved.load(1, tree)
    finally:
      resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    expect_equal(saved.load(1, tree), tree)


def test_older_formats_are_refused_by_name(tree, tmp_path, monkeypatch):
  monkeypatch.setattr(checkpoint, 'FORMAT', 4)
  save(tmp_path, {1: tree})
  monkeypatch.undo()
  with pytest.raises(UserError, match='fold_00/1: a checkpoint of format 4, .* reads format 3'):
    load(tmp_path, 1, tree)
  (tmp_path / 'stage' / 'fold_00' / '1' / 'default').mkdir()  # as version 0.1 saved
  with pytest.raises(UserError, match='a checkpoint of format 1'):
    load(tmp_path, 1, tree)


def test_another_model_is_refused(tree, tmp_path):
  save(tmp_path, {1: tree})
  with pytest.raises(UserError, match='fold_00/1: saved from another model'):
    load(tmp_path, 1, tree | {'weights': np.zeros((40, 31), np.float32)})


def test_a_vanished_folder_stops_the_run(tree, tmp_path):
  with pytest.raises(UserError, match='fold_00: cannot be saved .the folder has vanished'):
    with Checkpoints(tmp_path, 'stage', 'fold_00') as saved:
      (tmp_path / 'stage' / 'fold_00').rmdir()
      saved.save(1, tree)
  assert not (tmp_path / 'stage' / 'fold_00').exists()
