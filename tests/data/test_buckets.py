"""Clips grouped by length: which bucket, in which order, and what that saves."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import smallest_config

from configs import mosi
from persona_jax.data import buckets, fold_plan, loading
from persona_jax.data.buckets import Epochs
from persona_jax.errors import UserError


def test_a_clip_is_of_the_first_bucket_that_holds_all_its_modalities():
  lengths = dict(language=np.array([1, 3, 2, 5]), audio=np.array([9, 0, 4, 8]))
  found = buckets.of_steps(lengths, [dict(language=3, audio=4), dict(language=5, audio=9)])
  np.testing.assert_array_equal(found.of_clip, [1, 0, 0, 1])
  assert found.longest == dict(language=5, audio=9)


def test_sets_are_padded_by_bucket_and_restored():
  found = buckets.of_steps(
    {'language': np.array([1, 3, 1, 3, 3])}, [{'language': 1}, {'language': 3}]
  )
  sets = [np.array([4, 0, 3]), np.array([2, 0])]
  assert found.sizes(sets) == (2, 2)
  short, long = found.pad(sets[0], (2, 2))
  np.testing.assert_array_equal([short.clips, short.weights], [[0, 0], [1, 0]])
  np.testing.assert_array_equal([long.clips, long.weights], [[4, 3], [1, 1]])
  rows = np.array([[10], [-1], [14], [13]])  # of the padded clips 0, -, 4 and 3
  np.testing.assert_array_equal(found.restore(sets[0], (2, 2), rows), [[14], [10], [13]])


@settings(max_examples=40, deadline=None)
@given(
  st.lists(st.tuples(st.integers(0, 30), st.integers(0, 90)), min_size=1, max_size=60),
  st.integers(1, 5),
)
def test_every_clip_fits_and_more_buckets_never_cost_more(clips, num_buckets):
  language, audio = np.array(clips).T
  lengths = dict(language=language, audio=audio)

  def cost(count):
    found = buckets.of_steps(lengths, buckets.divide(lengths, count))
    assert len(found.steps) <= count
    return np.array([buckets.work(steps) for steps in found.steps])[found.of_clip].sum()

  assert cost(num_buckets) <= cost(1)


def test_the_division_is_the_best_by_trying_all():
  """Of one modality, whose clips all have lengths of their own."""
  lengths = {'audio': np.array([1, 2, 3, 10, 11, 40])}

  def cost(ends):
    steps = [buckets.work({'audio': end}) for end in ends]
    return sum(steps[np.searchsorted(ends, n)] for n in lengths['audio'])

  best = min(itertools.combinations([1, 2, 3, 10, 11], 2), key=lambda ends: cost([*ends, 40]))
  found = [steps['audio'] for steps in buckets.divide(lengths, 3)]
  assert cost(found) == cost([*best, 40]) and found == [*best, 40]


def test_buckets_are_as_many_as_pay_off():
  """MOSI's shares of lengths: a quick study has one bucket, the paper's has several."""
  random, config = np.random.default_rng(0), mosi.get_config().model
  seconds = np.minimum(random.lognormal(1.2, 0.6, 2000), 38.8)
  lengths = dict(audio=(12.5 * seconds).astype(int), vision=(15 * seconds).astype(int))
  assert buckets.worthwhile(lengths, config, 30) == 1
  assert buckets.worthwhile(lengths, config, 10 * 40 * 1400) >= 4


@pytest.fixture(scope='module')
def plan():
  config = smallest_config()
  config.pretrain.update(num_buckets=3, batch_size=4)
  return fold_plan.plan_folds(loading.load(config), config)


def test_a_batch_is_of_one_bucket_and_an_epoch_of_all_clips(plan):
  fold = plan.all[0]
  assert len(plan.batches) == 3 and plan.num_batches == sum(plan.batches)
  batches = fold_plan.epoch_batches(plan, fold, epoch=2)
  assert batches.clips.shape == (plan.num_batches, plan.batch_size)
  of_batch = fold_plan.bucket_order(plan, epoch=2)
  seen = []
  for clips, weights, bucket in zip(*batches, of_batch, strict=True):
    own = clips[weights > 0]
    assert len(own) and (plan.buckets.of_clip[own] == bucket).all()
    seen.extend(own)
  np.testing.assert_array_equal(np.sort(seen), fold.train)


def test_buckets_take_turns_anew_in_every_epoch_and_alike_in_every_fold(plan):
  orders = [tuple(fold_plan.bucket_order(plan, epoch)) for epoch in range(8)]
  assert len(set(orders)) > 4 and {tuple(sorted(order)) for order in orders} == {
    tuple(np.repeat(range(3), plan.batches))
  }


def test_thin_buckets_are_joined():
  """Of 6 speakers with 12 clips: no bucket has less than half a batch in any fold."""
  config = smallest_config()
  config.pretrain.update(num_buckets=5, batch_size=20)
  plan = fold_plan.plan_folds(loading.load(config), config)
  for fold in plan.all:
    assert min(len(places) for places in plan.buckets.places(fold.train)) >= 10
  assert 1 < len(plan.batches) < 5


def test_a_study_keeps_its_buckets_when_it_grows(plan):
  config = smallest_config(num_users=5)
  corpus = loading.load(config)
  grown = fold_plan.plan_folds(corpus, config, Epochs(plan.buckets.steps, plan.batches))
  assert grown.buckets.steps == plan.buckets.steps and grown.batches == plan.batches
  with pytest.raises(UserError, match='too few for 99 batches per epoch'):
    fold_plan.plan_folds(corpus, config, Epochs(plan.buckets.steps, (99, *plan.batches[1:])))


def test_the_reference_attends_to_padding_so_all_clips_have_one_length():
  config = smallest_config()
  config.model.attention = 'reference'
  config.pretrain.num_epochs = 10**6
  assert len(fold_plan.plan_folds(loading.load(config), config).batches) == 1
