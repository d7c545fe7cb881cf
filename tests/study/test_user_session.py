"""One user: what is refused, and what damage does."""

import pytest
from makers import break_file, smallest_config

from persona_jax import files
from persona_jax.errors import UserError
from persona_jax.runtime import compiling
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


def test_a_user_is_personalised_and_predicted_alone(config, fold, tmp_path):
  session = UserSession.open(config, tmp_path, fold.label)
  support = session.support_of_draw(0)
  adapted = session.adapt(support, 'fs_ua')
  before, after = session.predict(), session.predict(adapted)
  assert [c for c, known in zip(after.clips, after.in_support, strict=True) if known] == sorted(
    support, key=after.clips.index
  )
  assert not before.in_support.any() and (before.predictions != after.predictions).any()
  with pytest.raises(UserError, match=r"user 'nobody' is not in this study; its users are"):
    UserSession.open(config, tmp_path, 'nobody')
  with pytest.raises(UserError, match=r"support clip 'x\[1\]' is no clip of user"):
    session.adapt(['x[1]'], 'fs_ua')
  with pytest.raises(UserError, match='draw 9: expected 0 to 1'):
    session.support_of_draw(9)


def test_fine_tuning_is_optimized_by_how_long_it_takes(config, fold, tmp_path, monkeypatch):
  """Twice as many steps of twice as many clips take four times as long."""
  asked = []

  def stop(seconds):
    asked.append(seconds)
    raise InterruptedError

  monkeypatch.setattr(compiling, 'options_of_one_call', stop)
  session = UserSession.open(config, tmp_path, fold.label)
  for num_steps, num_clips in ((2, 1), (4, 2)):
    session.study.config.adapt.num_steps = num_steps
    with pytest.raises(InterruptedError):
      session.adapt(session.support_of_draw(0)[:num_clips], 'fs_ua')
  assert asked[0] > 0 and asked[1] == pytest.approx(4 * asked[0])


def test_a_reader_names_damage_and_moves_nothing(config, fold, tmp_path):
  teacher = tmp_path / 'checkpoints' / files.TEACHERS / fold.name
  break_file(teacher, 'truncated')
  with pytest.raises(UserError, match='a checksum differs.; run launch.study again'):
    UserSession.open(config, tmp_path, fold.label)
  assert teacher.is_dir() and not (tmp_path / 'checkpoints' / 'damaged').exists()
