import numpy as np
import pytest

from configs import synthetic
from persona_jax.data import folds, loading
from persona_jax.errors import UserError


@pytest.fixture(scope='module')
def loaded():
  return loading.load(synthetic.get_config('smoke'))


def test_users_have_most_clips_and_are_held_out(loaded):
  made = folds.make_folds(loaded, 3, 0.7, seeds=(0,))
  speakers = np.array(loaded.speakers)
  counts = {s: (speakers == s).sum() for s in set(speakers)}
  assert [fold.user for fold in made] == sorted(counts, key=lambda s: (-counts[s], s))[:3]
  for fold in made:
    assert fold.user not in speakers[fold.train] and fold.user not in speakers[fold.valid]
    assert set(speakers[fold.user_clips]) == {fold.user}
    others = len(speakers) - counts[fold.user]
    assert len(fold.train) == round(0.7 * others) and len(fold.valid) == others - len(fold.train)


def test_a_leak_is_caught(loaded):
  fold = folds.make_folds(loaded, 1, 0.7, seeds=(0,))[0]
  leaking = folds.Fold(
    fold.rank,
    fold.user,
    fold.seed,
    np.append(fold.train, fold.user_clips[0]),
    fold.valid,
    fold.user_clips[1:],
  )
  with pytest.raises(AssertionError, match='leaks into the training'):
    folds.assert_held_out(leaking, loaded)


def test_fold_depends_on_its_rank_not_on_how_many_are_made(loaded):
  few, many = (folds.make_folds(loaded, n, 0.7, seeds=(3,)) for n in (1, 3))
  np.testing.assert_array_equal(few[0].train, many[0].train)


def test_too_many_users_are_refused(loaded):
  with pytest.raises(UserError, match='has 6 speakers, too few for config.study.num_users = 6'):
    folds.make_folds(loaded, 6, 0.7, seeds=(0,))


def test_first_user_passes_over_the_users_before(loaded):
  made = folds.make_folds(loaded, 4, 0.7, seeds=(0,))
  later = folds.make_folds(loaded, 2, 0.7, seeds=(0,), first_user=2)
  assert [(f.rank, f.user) for f in later] == [(f.rank, f.user) for f in made[2:]]
  np.testing.assert_array_equal(later[0].train, made[2].train)


def test_draws_split_the_user_and_are_stable(loaded):
  fold = folds.make_folds(loaded, 1, 0.7, seeds=(0,))[0]
  few, many = (folds.draw_supports(fold, n, 5, None) for n in (2, 9))
  np.testing.assert_array_equal(few.support, many.support[:2])
  for support, query in zip(many.support, many.query, strict=True):
    assert sorted([*support, *query]) == list(range(len(fold.user_clips)))
  assert len({tuple(sorted(support)) for support in many.support}) > 1
  assert folds.draw_supports(fold, 2, 5, 4).query.shape == (2, 4)
  with pytest.raises(UserError, match=f'too few for {len(fold.user_clips)} support clips'):
    folds.draw_supports(fold, 2, len(fold.user_clips), None)


def test_seeds_differ_in_everything_but_the_user(loaded):
  first, second = folds.make_folds(loaded, 1, 0.7, seeds=(0, 1))
  assert (first.rank, first.user) == (second.rank, second.user) and first.name != second.name
  np.testing.assert_array_equal(first.user_clips, second.user_clips)
  assert set(first.train) != set(second.train)
  draws = [folds.draw_supports(fold, 3, 5, None).support for fold in (first, second)]
  assert (draws[0] != draws[1]).any()
  assert (folds.epoch_order(first, 0)[:5] != folds.epoch_order(second, 0)[:5]).any()


def test_epochs_shuffle_all_training_clips(loaded):
  fold = folds.make_folds(loaded, 1, 0.7, seeds=(0,))[0]
  first, again, second = (folds.epoch_order(fold, epoch) for epoch in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert (first != second).any() and sorted(second) == sorted(fold.train)
