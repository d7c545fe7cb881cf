"""A study that grows: what is there is kept, what is asked for beyond it is added, and no more."""

import csv

import pytest
from makers import smallest_config

from persona_jax.errors import UserError
from persona_jax.study import adaptation, leave_one_speaker_out, programs
from persona_jax.training import items


def small(**asked):
  return smallest_config(**dict(arms=('baseline', 'fs_ua'), num_users=2) | asked)


def lines(workdir):
  return (workdir / 'records.jsonl').read_text().splitlines()


def predictions(workdir):
  with (workdir / 'predictions.csv').open() as file:
    return {
      tuple(value for field, value in row.items() if field != 'prediction'): float(
        row['prediction']
      )
      for row in csv.DictReader(file)
    }


@pytest.fixture(scope='module')
def begun(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('grown')
  leave_one_speaker_out.run(small(), workdir)
  return workdir, lines(workdir)


@pytest.fixture(scope='module')
def grown(begun):
  """With more arms, shots and draws; what was trained and personalised on the way."""
  workdir, _ = begun
  trained, todo_lists = [], []
  with pytest.MonkeyPatch.context() as patch:
    make, write = programs.Program.supports, items.write
    patch.setattr(items, 'write', lambda *args: trained.append(args[0].name) or write(*args))
    patch.setattr(
      programs.Program,
      'supports',
      lambda self, drawn, todo, shots, length: (
        todo_lists.append((self.name, [(cell.arm, cell.shots, draw) for cell, draw in todo]))
        or make(self, drawn, todo, shots, length)
      ),
    )
    larger = small(arms=('baseline', 'mean_shift', 'fs_ua', 'fs_ua_kd'), num_draws=3, shots=(2, 5))
    leave_one_speaker_out.run(larger, workdir)
  return workdir, larger, trained, todo_lists


@pytest.mark.cpus
def test_teachers_are_reused_and_old_records_stay_byte_for_byte(begun, grown):
  workdir, _, trained, todo_lists = grown
  assert trained == []
  assert set(begun[1]) < set(lines(workdir)) and len(begun[1]) == 2 * 2 * 2
  assert len(lines(workdir)) == 2 * 3 * (1 + 3 * 2)
  todo = (
    [('fs_ua', 2, draw) for draw in range(3)]
    + [('fs_ua', 5, 2)]
    + [('fs_ua_kd', shots, draw) for shots in (2, 5) for draw in range(3)]
  )
  calls = [todo[start : start + 2] for start in range(0, 10, 2)]  # of two sets, of each user
  assert todo_lists == [('adapter-base', call) for call in calls for _ in range(2)]


def test_a_grown_study_is_the_study_asked_for_at_once(grown, tmp_path):
  workdir, larger, *_ = grown
  leave_one_speaker_out.run(larger, tmp_path)
  mine, other = predictions(workdir), predictions(tmp_path)
  assert list(mine) == list(other)
  assert max(abs(mine[key] - other[key]) for key in mine) < 1e-5


def test_an_added_user_is_trained_alone(grown, monkeypatch):
  workdir, larger, *_ = grown
  before, trained, write = lines(workdir), [], items.write
  monkeypatch.setattr(items, 'write', lambda *args: trained.append(args[0].name) or write(*args))
  more = larger.copy_and_resolve_references()
  more.study.num_users = 3
  leave_one_speaker_out.run(more, workdir)
  assert trained == ['fold_02_seed_0'] and set(before) < set(lines(workdir))
  assert len(lines(workdir)) == 3 * 3 * (1 + 3 * 2)
  with pytest.raises(UserError, match='has records of user .*, which this config leaves out'):
    leave_one_speaker_out.run(larger, workdir)
  for section, field in (('pretrain', 'num_epochs'), ('adapt', 'num_steps')):
    other = more.copy_and_resolve_references()
    other[section][field] = 7
    with pytest.raises(UserError, match=rf'config\.{section}\.{field} is \d there and 7 now'):
      leave_one_speaker_out.run(other, workdir)


def test_an_added_seed_keeps_the_records_of_the_first(tmp_path, monkeypatch):
  leave_one_speaker_out.run(small(), tmp_path)
  before, trained, write = lines(tmp_path), [], items.write
  monkeypatch.setattr(items, 'write', lambda *args: trained.append(args[0].name) or write(*args))
  leave_one_speaker_out.run(small(seeds=(0, 1)), tmp_path)
  assert trained == ['fold_00_seed_1', 'fold_01_seed_1']
  assert set(before) < set(lines(tmp_path)) and len(lines(tmp_path)) == 2 * len(before)


def test_a_start_that_fails_leaves_no_folder(tmp_path):
  for asked, said in (
    (dict(num_users=40), 'ask for fewer users'),
    (dict(num_support=30), 'too few for 30'),
  ):
    with pytest.raises(UserError, match=said):
      leave_one_speaker_out.run(small(**asked), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_a_run_that_diverges_at_once_does_not_pin_its_learning_rate(tmp_path):
  config = small(num_users=1)
  config.pretrain.learning_rate = 1e38
  with pytest.raises(UserError, match='is not finite'):
    leave_one_speaker_out.pretrain_only(config, tmp_path)
  config.pretrain.learning_rate = 1e-3
  leave_one_speaker_out.pretrain_only(config, tmp_path)


def test_a_group_stopped_between_its_folds_personalises_the_rest(begun, tmp_path, monkeypatch):
  """Killed when one fold of a group of two was saved: the other alone is personalised again."""

  class Killed(Exception):
    """Stands for SIGKILL."""

  kept, keep = [], adaptation.StudyPersonaliser._keep

  def keep_one(self, case, *rest):
    if kept:
      raise Killed
    kept.append(case.fold.rank)
    keep(self, case, *rest)

  config = small(num_users=2)
  with monkeypatch.context() as patch:
    patch.setattr(adaptation.StudyPersonaliser, '_keep', keep_one)
    with pytest.raises(Killed):
      leave_one_speaker_out.run(config, tmp_path)
  done = []
  monkeypatch.setattr(
    adaptation.StudyPersonaliser,
    '_keep',
    lambda self, case, *rest: done.append(case.fold.rank) or keep(self, case, *rest),
  )
  leave_one_speaker_out.run(config, tmp_path)
  assert kept == [0] and done == [1]
  assert lines(tmp_path) == begun[1]
