"""Groups of held-out speakers, and validation by speakers nobody learns from."""

import numpy as np
import pytest
from makers import corpus_of
from makers import grouped_config as config_of

from persona_jax.data import fold_plan, folds
from persona_jax.data.study import Study
from persona_jax.errors import UserError


def test_speakers_go_to_the_group_with_the_fewest_clips():
  """By hand: a -> 0, b -> 1, c -> 2, d -> 2 (29), e -> 1 (31), f -> 2 (39), g -> 0 (33)."""
  corpus = corpus_of(dict(a=30, b=20, c=15, d=14, e=11, f=10, g=3))
  made = folds.make_folds(corpus, config_of())
  held_out = [sorted({corpus.speakers[clip] for clip in fold.held_out}) for fold in made]
  assert held_out == [['a', 'g'], ['b', 'e'], ['c', 'd', 'f']]
  assert [fold.name for fold in made] == [f'group_0{number}_seed_0' for number in range(3)]


def test_every_speaker_is_held_out_once_and_those_with_enough_clips_are_users():
  corpus = corpus_of(dict(a=30, b=20, c=15, d=14, e=11, f=10, g=9))
  made = folds.make_folds(corpus, config_of())
  users = [user.name for fold in made for user in fold.users]
  assert sorted(users) == list('abcdef')  # g has 9 clips, fewer than 5 + 5
  np.testing.assert_array_equal(
    np.sort(np.concatenate([fold.held_out for fold in made])), np.arange(len(corpus.names))
  )
  for fold in made:
    assert not set(fold.held_out) & set(np.concatenate([fold.train, fold.valid]))
    for user in fold.users:
      assert {corpus.speakers[clip] for clip in user.clips} == {user.name}


def test_validation_speakers_are_strangers_to_training_and_reach_their_share():
  corpus = corpus_of({f's{number}': 12 for number in range(30)})
  config = config_of()
  config.pretrain.valid_speakers = 0.15
  seen = set()
  for fold in folds.make_folds(corpus, config):
    train, valid, held_out = (
      {corpus.speakers[clip] for clip in clips} for clips in (fold.train, fold.valid, fold.held_out)
    )
    assert not train & valid and not (train | valid) & held_out
    assert len(train) + len(valid) + len(held_out) == 30
    assert len(valid) == 3  # 15 % of 20 x 12 clips are 36, those of 3 speakers
    seen.add(frozenset(valid))
  assert len(seen) == 3  # a choice of its own per fold


def test_a_leak_of_a_whole_speaker_is_caught():
  corpus = corpus_of(dict(a=30, b=20, c=15))
  fold = folds.make_folds(corpus, config_of())[0]
  leaking = folds.Fold(
    fold.name,
    fold.label,
    fold.rank,
    fold.seed,
    fold.teacher,
    np.append(fold.train, fold.held_out[0]),
    fold.valid,
    fold.held_out[1:],
    fold.users,
  )
  with pytest.raises(AssertionError, match="'a'.* leak into the training"):
    folds.assert_held_out(leaking, corpus)


def test_the_teachers_of_a_fold_share_its_clips_and_differ_in_their_seeds():
  corpus = corpus_of(dict(a=30, b=20, c=14, d=10))
  arms = ('ensemble', 'calibrated')
  study = Study.plan(config_of(teachers=3, arms=arms, seeds=(0, 1)), corpus, None)
  one = Study.plan(config_of(seeds=(0, 1)), corpus, None)
  teachers = study.folds.of_teachers
  assert len(study.folds.chosen) == 6 and len(teachers) == 18
  assert [fold.name for fold in teachers[:4]] == [
    'group_00_seed_0',
    'group_00_seed_0_teacher_1',
    'group_00_seed_0_teacher_2',
    'group_00_seed_1',
  ]
  # The first teacher is the one of a study with one teacher.
  assert [(fold.name, fold.training_seed) for fold in teachers[::3]] == [
    (fold.name, fold.seed) for fold in one.folds.of_teachers
  ]
  assert len({(fold.rank, fold.training_seed) for fold in teachers}) == 18
  assert all(0 <= fold.training_seed < 2**31 for fold in teachers)
  for first, second in zip(teachers[::3], teachers[1::3], strict=True):
    for part in ('train', 'valid', 'held_out'):
      np.testing.assert_array_equal(getattr(first, part), getattr(second, part))
    orders = [folds.epoch_order(fold, 0) for fold in (first, second)]
    assert sorted(orders[0]) == sorted(orders[1]) and (orders[0] != orders[1]).any()


def test_a_user_is_a_case_per_teacher():
  corpus = corpus_of(dict(a=30, b=20, c=14, d=10))
  study = Study.plan(config_of(teachers=2, arms=('ensemble',)), corpus, None)
  for case in study.folds.cases:
    first, second = study.folds.of_all_teachers(case)
    assert first.name == case.name and first.user is second.user is case.user
    assert second.fold.name == f'{case.fold.name}_teacher_1' and second.name != first.name
    np.testing.assert_array_equal(study.draws(first).support, study.draws(second).support)
  assert len({case.name for case in study.folds.cases_of_teachers}) == 2 * len(study.folds.cases)


def test_users_with_few_clips_have_fewer_shots():
  corpus = corpus_of(dict(a=30, b=20, c=14, d=10))
  study = Study.plan(config_of(shots=(1, 2, 5, 10)), corpus, None)
  shots = {case.user.name: study.shots(case) for case in study.folds.cases}
  assert shots == dict(a=(1, 2, 5, 10), b=(1, 2, 5, 10), c=(1, 2, 5), d=(1, 2, 5))
  for case in study.folds.cases:
    draws = study.draws(case)
    assert draws.support.shape == (2, max(shots[case.user.name]))
    assert draws.query.shape[1] == len(case.user.clips) - draws.support.shape[1]


def test_names_of_cases_and_places_of_their_clips():
  corpus = corpus_of(dict(a=30, b=20, c=15, d=14))
  study = Study.plan(config_of(num_groups=2), corpus, None)
  assert [case.name for case in study.folds.cases] == [
    'group_00_seed_0_user_00',
    'group_00_seed_0_user_03',
    'group_01_seed_0_user_01',
    'group_01_seed_0_user_02',
  ]
  for case in study.folds.cases:
    np.testing.assert_array_equal(case.fold.held_out[case.places], case.user.clips)


@pytest.mark.parametrize(
  'fields, said',
  [
    (dict(num_groups=5), 'has 4 speakers, too few for config.study.num_groups = 5'),
    (dict(num_support=40), 'no speaker has the 45 clips that a user of a grouped study needs'),
  ],
)
def test_what_cannot_be_grouped_is_refused(fields, said):
  with pytest.raises(UserError, match=said):
    fold_plan.plan_folds(corpus_of(dict(a=30, b=20, c=15, d=14)), config_of(**fields))


def test_one_speaker_to_learn_from_leaves_nobody_to_validate_on():
  with pytest.raises(
    UserError, match="no validation clip; give it more speakers, or set .*'clips'"
  ):
    fold_plan.plan_folds(corpus_of(dict(a=30, b=20)), config_of(num_groups=2))
