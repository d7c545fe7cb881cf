import pytest
from studies import of_maes, write

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
