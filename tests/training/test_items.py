"""Finished parameters: read as they were written, or named; never half, never moved by a reader."""

import json

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from persona_jax.errors import UserError
from persona_jax.training import items
from persona_jax.training.damage import Damaged

PARAMS = {
  'adapter': {'token': np.arange(6, dtype=np.float32).reshape(2, 3)},
  'base': {'heads': {'bias': np.float32([0.1, -2.5])}},
}


@pytest.fixture
def folder(tmp_path):
  items.write(tmp_path / 'ann', PARAMS, dict(best_epoch=3, best_loss=float(np.float32(0.1))))
  return tmp_path / 'ann'


def test_what_was_written_is_read(folder):
  params, about = items.read(folder, PARAMS)
  jax.tree.map(np.testing.assert_array_equal, params, PARAMS)
  assert about['best_epoch'] == 3 and np.float32(about['best_loss']) == np.float32(0.1)
  assert [path.name for path in folder.parent.iterdir()] == ['ann']  # nothing temporary is left
  assert items.read(folder.parent / 'bob', PARAMS) is None


def test_orbax_alone_reads_the_parameters(folder):
  jax.tree.map(
    np.testing.assert_array_equal, ocp.StandardCheckpointer().restore(folder / 'params'), PARAMS
  )


@pytest.mark.parametrize('how', ['truncated', 'flipped', 'gone'])
def test_whatever_file_is_damaged_is_noticed_and_left(how, folder):
  """Every file in turn, the manifest too."""
  whole = {
    path.relative_to(folder): path.read_bytes() for path in folder.rglob('*') if path.is_file()
  }
  assert len(whole) > 5
  for path, content in whole.items():
    if not content:
      continue
    if how == 'gone':
      (folder / path).unlink()
    else:
      changed = bytearray(content)
      changed[len(content) // 2] ^= 16
      (folder / path).write_bytes(content[: len(content) // 2] if how == 'truncated' else changed)
    with pytest.raises(Damaged):
      items.read(folder, PARAMS)
    (folder / path).write_bytes(content)
  items.read(folder, PARAMS)


def test_another_format_or_model_is_refused(folder, monkeypatch):
  with pytest.raises(UserError, match='ann: saved from another model'):
    items.read(folder, PARAMS | {'base': {}})
  monkeypatch.setattr(items, 'FORMAT', 7)
  with pytest.raises(UserError, match='ann: a checkpoint of format 1, .* reads format 7'):
    items.read(folder, PARAMS)


def test_a_machines_troubles_prove_no_damage(folder, monkeypatch):
  monkeypatch.setattr(
    items, '_hashes', lambda path: (_ for _ in ()).throw(OSError(24, 'Too many files'))
  )
  with pytest.raises(UserError, match='ann: cannot be read at present .*Too many files'):
    items.read(folder, PARAMS)


def test_a_write_that_fails_leaves_nothing(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(UserError, match='cannot be saved'):
    items.write(tmp_path / 'file' / 'ann', PARAMS, {})
  with pytest.raises(UserError, match='cannot be saved'):
    items.write(tmp_path / 'ann', PARAMS, {'fact': object()})
  assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_a_killed_write_is_written_again(tmp_path):
  (tmp_path / '.ann.tmp' / 'params').mkdir(parents=True)
  items.write(tmp_path / 'ann', PARAMS, {})
  assert json.loads((tmp_path / 'ann' / 'about.json').read_text())['format'] == items.FORMAT
  assert items.read(tmp_path / 'ann', PARAMS) is not None
