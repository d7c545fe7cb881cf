import dataclasses

import numpy as np
import pytest

from configs import synthetic
from persona_jax.data import fold_plan, folds, loading
from persona_jax.errors import UserError


@pytest.fixture(scope='module')
def loaded():
  return loading.load(synthetic.get_config('smoke'))


def config_of(num_users, seeds=(0,), first_user=0):
  config = synthetic.get_config('smoke')
  config.study.update(num_users=num_users, seeds=seeds, first_user=first_user)
  return config


def make(loaded, num_users=1, **fields):
  return folds.make_folds(loaded, config_of(num_users, **fields))


def test_users_have_most_clips_and_are_held_out(loaded):
  made = make(loaded, 3)
  speakers = np.array(loaded.speakers)
  counts = {s: (speakers == s).sum() for s in set(speakers)}
  assert [fold.label for fold in made] == sorted(counts, key=lambda s: (-counts[s], s))[:3]
  for fold in made:
    (user,) = fold.users
    assert fold.label == user.name
    assert user.name not in speakers[fold.train] and user.name not in speakers[fold.valid]
    assert set(speakers[user.clips]) == {user.name}
    np.testing.assert_array_equal(user.clips, fold.held_out)
    others = len(speakers) - counts[user.name]
    assert len(fold.train) == round(0.7 * others) and len(fold.valid) == others - len(fold.train)


def test_a_leak_is_caught(loaded):
  (fold,) = make(loaded)
  leaking = dataclasses.replace(
    fold, train=np.append(fold.train, fold.held_out[0]), held_out=fold.held_out[1:]
  )
  with pytest.raises(AssertionError, match='leak into the training'):
    folds.assert_held_out(leaking, loaded)


def test_fold_depends_on_its_rank_not_on_how_many_are_made(loaded):
  few, many = (make(loaded, n, seeds=(3,)) for n in (1, 3))
  np.testing.assert_array_equal(few[0].train, many[0].train)


def test_too_many_users_are_refused(loaded):
  with pytest.raises(UserError, match='has 6 speakers, too few for config.study.num_users = 6'):
    make(loaded, 6)


def test_first_user_passes_over_the_users_before(loaded):
  made = make(loaded, 4)
  later = make(loaded, 2, first_user=2)
  assert [(f.rank, f.label) for f in later] == [(f.rank, f.label) for f in made[2:]]
  np.testing.assert_array_equal(later[0].train, made[2].train)


def test_seeds_differ_in_everything_but_the_user(loaded):
  first, second = make(loaded, seeds=(0, 1))
  assert (first.rank, first.label) == (second.rank, second.label) and first.name != second.name
  np.testing.assert_array_equal(first.held_out, second.held_out)
  assert set(first.train) != set(second.train)
  assert (folds.epoch_order(first, 0)[:5] != folds.epoch_order(second, 0)[:5]).any()


def test_epochs_shuffle_all_training_clips(loaded):
  (fold,) = make(loaded)
  first, again, second = (folds.epoch_order(fold, epoch) for epoch in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert (first != second).any() and sorted(second) == sorted(fold.train)


@pytest.mark.parametrize('train_fraction', [0.99, 0.999])
def test_a_fold_without_validation_clips_is_refused(loaded, train_fraction):
  config = config_of(3)
  config.pretrain.train_fraction = train_fraction
  with pytest.raises(
    UserError, match=f'no validation clip; lower .*train_fraction = {train_fraction}'
  ):
    fold_plan.plan_folds(loaded, config)
