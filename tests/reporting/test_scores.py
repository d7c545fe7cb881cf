import numpy as np
from studies import of_mae

from persona_jax.reporting.records import TrialKey
from persona_jax.reporting.scores import Scores

SCORES = Scores.of(
  [
    of_mae('bo', 'baseline', 0, 1.0),
    of_mae('bo', 'fs_ua', 0, 2.0),
    of_mae('bo', 'fs_ua', 2, 3.0),
    of_mae('ann', 'fs_ua', 0, 4.0),
    of_mae('ann', 'fs_ua', 2, None),
    of_mae('ann', 'fs_ua', 0, 5.0, seed=7),
    of_mae('ann', 'fs_ua', 0, 6.0, num_support=1),
  ]
)


def test_values_stand_by_user_seed_and_draw():
  users, table = SCORES.only(5).values('mae', 'fs_ua')
  assert users == ('bo', 'ann')  # as in the records
  np.testing.assert_array_equal(table, [[[2, 3], [np.nan, np.nan]], [[4, np.nan], [5, np.nan]]])
  users, table = SCORES.only(5).values('mae', 'baseline')
  assert users == ('bo',) and table[0, 0, 0] == 1 and np.isnan(table).sum() == 3  # of all's draws
  assert SCORES.values('mae', 'fs_base').users == ()


def test_parts_know_what_is_in_them():
  assert (SCORES.users, SCORES.arms, SCORES.shots) == (('bo', 'ann'), ('baseline', 'fs_ua'), (1, 5))
  few = SCORES.only(1)
  assert (few.users, few.arms, few.shots, len(few)) == (('ann',), ('fs_ua',), (1,), 1)
  assert SCORES.distinct('seed', 'draw') == [(0, 0), (0, 2), (7, 0)]
  assert SCORES.only(5, 'baseline').keys() == [TrialKey('bo', 'baseline', 0, 0, 5)]
  assert len(SCORES.only(3)) == 0 and SCORES.only(3).users == () and SCORES.only(3).shots == ()


def test_ranks_turn_users_around_and_nothing_else():
  turned = SCORES.by_rank({'ann': 0, 'bo': 1})
  assert turned.users == ('ann', 'bo')
  np.testing.assert_array_equal(turned.columns['mae'], [4, np.nan, 5, 6, 1, 2, 3])


def test_query_clips_of_a_trial():
  trials = [TrialKey(user, 'fs_ua', 0, draw, 5) for user, draw in (('bo', 2), ('bo', 1), ('cy', 2))]
  assert [SCORES.num_query(trial) for trial in trials] == [9, 0, 0]
