"""The pure steps of pre-training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from makers import predicted
from trees import leaves

from persona_jax.data import batching
from persona_jax.model import predict
from persona_jax.model.build import build
from persona_jax.model.fast_prng import fast_key
from persona_jax.training import group_feed, steps


@pytest.fixture(scope='module')
def fold(finished, corpus, config):
  """One fold as the steps see it: (steps, inputs, shared)."""
  inputs = group_feed.fold_inputs(finished, finished.folds.all[0])
  shared = jax.device_put(group_feed.shared_corpus(corpus))
  lengths = finished.folds.buckets.steps
  return steps.Pretraining(build(config.model), config, lengths), inputs, shared


@pytest.fixture(scope='module')
def fresh(fold):
  training, inputs, shared = fold
  return jax.jit(training.create_state)(inputs, shared)


def test_a_seed_and_a_rank_make_their_own_parameters(fold, fresh):
  training, inputs, shared = fold
  create = jax.jit(training.create_state)

  def kernel(state):
    return state.params['base']['heads']['head']['expand']['kernel']

  np.testing.assert_array_equal(kernel(create(inputs, shared)), kernel(fresh))
  for other in (inputs._replace(seed=np.int32(1)), inputs._replace(rank=np.int32(1))):
    assert (kernel(create(other, shared)) != kernel(fresh)).all()


def test_seed_then_rank_then_use_make_the_key(fold, finished, config):
  """With another key, runs of earlier versions could not be repeated."""
  training, inputs, shared = fold
  inputs = inputs._replace(seed=np.int32(3), rank=np.int32(2))
  key = jax.random.fold_in(jax.random.fold_in(fast_key(3), 2), 0)
  clip = predict.gather(
    shared.clips, inputs.normaliser, jnp.zeros(1, int), finished.folds.buckets.steps[0]
  )

  def kernel(params):
    return params['base']['heads']['head']['expand']['kernel']

  expected = jax.jit(lambda: kernel(build(config.model).init(key, clip)['params']))()
  created = jax.jit(lambda: kernel(training.create_state(inputs, shared).params))()
  np.testing.assert_array_equal(created, expected)


def test_one_step_moves_every_parameter_and_counts(fold, fresh, finished):
  training, inputs, shared = fold
  batch = batching.split(
    finished.folds.all[0].train[:7], 1, 7
  )  # odd: as many errors up as down would cancel
  after = jax.jit(functools.partial(training.train_step, 0))(
    fresh, (inputs, jax.device_put(batch)), shared
  )
  assert after.step == 1 and after.train_loss > 0
  for (path, old), (_, new) in zip(leaves(fresh.params), leaves(after.params), strict=True):
    assert (old != new).any(), jax.tree_util.keystr(path)


def test_dropout_is_drawn_anew_in_every_step(fold, fresh, finished):
  training, inputs, shared = fold
  batch = jax.device_put(batching.split(finished.folds.all[0].train[:7], 1, 7))
  step = jax.jit(lambda n: training.train_step(0, fresh.replace(step=n), (inputs, batch), shared))
  first, again, second = (step(jnp.int32(n)).train_loss for n in (0, 0, 1))
  assert first == again != second


def test_padding_of_a_batch_changes_nothing(fold, fresh, finished):
  training, inputs, shared = fold
  step = jax.jit(
    lambda state, batch: training.end_epoch(
      state, (inputs._replace(valid=(batch,)), batching.Indices(*jnp.zeros((2, 1, 1)))), shared
    )
  )
  losses = [
    step(fresh, jax.device_put(batching.pad(finished.folds.all[0].valid[:5], n))).curves[0, 1]
    for n in (5, 9)
  ]
  np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_end_of_epoch_keeps_the_best(fold, fresh):
  training, inputs, shared = fold
  one_batch = jnp.zeros((4, 1))
  end = jax.jit(
    lambda state: training.end_epoch(
      state, (inputs, batching.Indices(one_batch, one_batch)), shared
    )
  )
  better = end(fresh.replace(best_loss=jnp.float32(99), train_loss=jnp.float32(8)))
  assert better.best_epoch == better.epoch == 1 and better.train_loss == 0
  np.testing.assert_allclose(better.curves[0], [2.0, better.best_loss], rtol=1e-6)  # 8 over 4 steps
  moved = better.replace(params=jax.tree.map(lambda x: x + 1, better.params))
  worse = end(moved.replace(best_loss=jnp.float32(0)))
  assert worse.best_loss == 0 and worse.best_epoch == 1 and worse.epoch == 2
  for (_, old), (_, kept) in zip(
    leaves(better.best_params), leaves(worse.best_params), strict=True
  ):
    np.testing.assert_array_equal(old, kept)


def test_training_learns_a_batch_by_heart(fold, fresh, finished, config, corpus):
  _, inputs, shared = fold
  certain = config.copy_and_resolve_references()
  certain.model.dropout = {place: 0.0 for place in certain.model.dropout}
  certain.pretrain.learning_rate = 1e-2
  training = steps.Pretraining(build(certain.model), certain, finished.folds.buckets.steps)
  clips = finished.folds.all[0].train[:7]
  batch = jax.device_put(batching.split(clips, 1, 7))
  step = jax.jit(lambda state: training.train_step(0, state, (inputs, batch), shared))
  state = fresh
  for _ in range(200):
    state = step(state)

  def error(params):
    bound = functools.partial(predict.predict, build(config.model))
    predictions = predicted(bound, params, inputs.normaliser, corpus, clips)
    return np.abs(predictions - corpus.labels[clips]).mean()

  assert error(state.params) < 0.25 * error(fresh.params)
