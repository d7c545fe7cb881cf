"""Checkpoints: what was saved comes back, or is named, set aside and passed over."""

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
  return {'weights': random.normal(size=(40, 30)).astype(np.float32),
          'half': random.normal(size=7).astype(ml_dtypes.bfloat16),
          'nested': (np.int32(3), np.array([True, False]), np.zeros((0, 2), np.float32))}


def save(workdir, trees):
  with Checkpoints(workdir, 'stage', 'fold_00') as saved:
    for step, tree in trees.items():
      saved.save(step, tree)


def load(workdir, step, like):
  with Checkpoints(workdir, 'stage', 'fold_00') as saved:
    return saved.load(step, like)


def expect_equal(loaded, tree):
  assert jax.tree.structure(loaded) == jax.tree.structure(tree)
  for ours, theirs in zip(jax.tree.leaves(loaded), jax.tree.leaves(tree)):
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


def test_a_step_saved_again_is_replaced(tree, tmp_path):
  other = tree | {'weights': tree['weights'] + 1}
  save(tmp_path, {1: tree})
  save(tmp_path, {1: other})
  expect_equal(load(tmp_path, 1, tree), other)


@pytest.mark.parametrize('how', ['truncated', 'flipped'])
def test_whatever_file_is_damaged_no_wrong_number_is_read(how, tree, tmp_path, caplog):
  """Every file of a checkpoint in turn: it is read right, or named and set aside."""
  save(tmp_path / 'whole', {5: tree})
  num_files = sum(path.is_file() for path in (tmp_path / 'whole').rglob('5/**/*'))
  outcomes = []
  for which in range(num_files):
    workdir = tmp_path / str(which)
    save(workdir, {5: tree})
    folder = workdir / 'checkpoints' / 'stage' / 'fold_00' / '5'
    path = break_file(folder, how, which)
    loaded = load(workdir, 5, tree)
    outcomes.append(loaded is None)
    if loaded is None:
      aside = workdir / 'checkpoints' / 'damaged' / 'stage-fold_00-5-0'
      assert not folder.exists() and (aside / path.relative_to(folder)).is_file()
      assert f'{folder} is damaged' in caplog.text and str(aside) in caplog.text
    else:
      expect_equal(loaded, tree)
  assert outcomes[-1] and sum(outcomes) >= 3  # at least the numbers and the two indices of them


def test_the_one_before_is_used_if_all_folds_have_it(tree, tmp_path):
  for name in ('a', 'b'):
    with Checkpoints(tmp_path, 'stage', name) as saved:
      for step in (1, 2, 3)[:3 if name == 'a' else 2]:
        saved.save(step, tree | {'weights': tree['weights'] * step})
  break_file(tmp_path / 'checkpoints' / 'stage' / 'b' / '2', 'truncated')
  with Checkpoints(tmp_path, 'stage', 'a') as a, Checkpoints(tmp_path, 'stage', 'b') as b:
    step, trees = checkpoint.newest([a, b], [tree, tree])
    assert step == 1
    expect_equal(trees[1], tree)
    assert a.steps() == {1, 2, 3} and b.steps() == {1}


def test_older_formats_are_refused_by_name(tree, tmp_path, monkeypatch):
  monkeypatch.setattr(checkpoint, 'FORMAT', 3)
  save(tmp_path, {1: tree})
  monkeypatch.undo()
  with pytest.raises(UserError, match='fold_00/1: a checkpoint of format 3, .* reads format 2'):
    load(tmp_path, 1, tree)
  (tmp_path / 'checkpoints' / 'stage' / 'fold_00' / '1' / 'default').mkdir()  # as version 0.1 saved
  with pytest.raises(UserError, match='a checkpoint of format 1'):
    load(tmp_path, 1, tree)


def test_another_model_is_refused(tree, tmp_path):
  save(tmp_path, {1: tree})
  with pytest.raises(UserError, match='fold_00/1: saved from another model'):
    load(tmp_path, 1, tree | {'weights': np.zeros((40, 31), np.float32)})


def test_a_vanished_folder_stops_the_run(tree, tmp_path):
  with pytest.raises(UserError, match='fold_00: cannot be saved .the folder has vanished'):
    with Checkpoints(tmp_path, 'stage', 'fold_00') as saved:
      (tmp_path / 'checkpoints' / 'stage' / 'fold_00').rmdir()
      saved.save(1, tree)
  assert not (tmp_path / 'checkpoints' / 'stage' / 'fold_00').exists()
