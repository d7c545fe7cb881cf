"""One user: what is refused, and what damage does."""

import pytest
from makers import break_file, smallest_config

from persona_jax import files
from persona_jax.errors import UserError
from persona_jax.study import leave_one_speaker_out
from persona_jax.study.user_session import UserSession


@pytest.fixture
def config():
  return smallest_config(num_users=1)


@pytest.fixture
def fold(config, tmp_path):
  """Its one fold, pre-trained in `tmp_path`."""
  study, _ = leave_one_speaker_out.pretrain_only(config, tmp_path)
  return study.folds.chosen[0]


def test_readers_name_damage_and_move_nothing(config, fold, tmp_path):
  session = UserSession.open(config, tmp_path, fold.label)
  session.save(session.adapt(session.support_of_draw(0), 'fs_ua'))
  session.save(session.adapt(session.support_of_draw(1), 'fs_ua'))  # which replaces it
  (personal,) = (tmp_path / 'checkpoints' / 'personal').glob('*/*')
  assert session.predict(session.load('fs_ua')).in_support.sum() == 5
  whole = {path: path.read_bytes() for path in personal.rglob('*') if path.is_file()}
  break_file(personal, 'truncated')
  with pytest.raises(UserError, match='a checksum differs.; run launch.adapt again'):
    session.load('fs_ua')
  assert {path for path in personal.rglob('*') if path.is_file()} == set(whole)
  teacher = tmp_path / 'checkpoints' / files.TEACHERS / fold.name
  break_file(teacher, 'truncated')
  with pytest.raises(UserError, match='a checksum differs.; run launch.study again'):
    UserSession.open(config, tmp_path, fold.label)
  assert teacher.is_dir() and not (tmp_path / 'checkpoints' / 'damaged').exists()
