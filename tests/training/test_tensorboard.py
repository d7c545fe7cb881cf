import builtins

import pytest

from persona_jax.data.folds import Fold
from persona_jax.errors import UserError
from persona_jax.training import tensorboard


def test_losses_are_logged_per_fold(tmp_path):
  fold = Fold('fold_03_seed_0', 'ann', 3, 0, 0, *([],) * 3, ())
  with tensorboard.epoch_log(tmp_path, True) as log:
    log(fold, 1, 1.5, 1.25)
  (file,) = (tmp_path / 'tensorboard' / fold.name).iterdir()
  assert b'pretrain/validation_loss' in file.read_bytes()


def test_not_wanted_is_not_written(tmp_path):
  with tensorboard.epoch_log(tmp_path, False) as log:
    assert log is None
  assert not list(tmp_path.iterdir())


def test_without_the_extra_it_is_one_sentence(tmp_path, monkeypatch):
  found = builtins.__import__

  def missing(name, *rest):
    if name == 'tensorboardX':
      raise ImportError(name)
    return found(name, *rest)

  monkeypatch.setattr(builtins, '__import__', missing)
  with pytest.raises(UserError, match='--tensorboard needs tensorboardX: pip install'):
    with tensorboard.epoch_log(tmp_path, True):
      pass
