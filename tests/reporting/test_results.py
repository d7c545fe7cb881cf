import pytest
from studies import CONFIG, GROUPED, of_maes, write

from persona_jax.errors import UserError
from persona_jax.reporting import results


def test_users_are_in_the_studys_order(tmp_path):
  """Whatever order a merge lists them in."""
  workdirs = [write(tmp_path / user, users=(user,)) for user in ('cy', 'ann', 'bo')]
  loaded = results.load(workdirs)
  assert loaded.scores.users == ('ann', 'bo', 'cy')
  assert loaded.ranks == {'ann': 0, 'bo': 1, 'cy': 2}


def test_the_tables_are_of_one_number_of_clips(tmp_path):
  loaded = results.load([write(tmp_path, all_shots=(1, 5))])
  assert (loaded.num_support, loaded.scores.shots, loaded.all_scores.shots) == (5, (5,), (1, 5))
  assert [each.name for each in loaded.comparisons][0] == 'FS-UA − Baseline'
  assert [list(curve.points) for curve in loaded.curves] == [[1, 5], [1, 5]]


def test_a_user_of_another_study_is_refused():
  with pytest.raises(UserError, match=r'records of user b, who is not in this study of 1 users'):
    results.by_rank(of_maes(baseline=[1, 2]), {'a': 0})


def test_a_config_says_who_is_held_out_and_what_the_mean_shift_learned_from(tmp_path):
  """A workdir of an older version has neither field."""
  old, new = (
    results.load([write(tmp_path / name, config=config)])
    for name, config in (('old', CONFIG), ('new', GROUPED))
  )
  assert (old.is_grouped, old.all_scores.easy_mean_shift, old.scores.easy_mean_shift) == (
    False,
    True,
    True,
  )
  assert (new.is_grouped, new.all_scores.easy_mean_shift, new.scores.easy_mean_shift) == (
    True,
    False,
    False,
  )


def test_arms_of_personas_are_those_asked_for_or_recorded(tmp_path):
  assert not results.load([write(tmp_path / 'a')]).has_personas
  assert results.load([write(tmp_path / 'b', arms=('baseline', 'bayes'))]).has_personas
  asked = CONFIG | dict(study=CONFIG['study'] | dict(arms=['baseline', 'joint']))
  assert results.load([write(tmp_path / 'c', config=asked)]).has_personas
