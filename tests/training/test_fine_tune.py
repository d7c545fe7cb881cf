"""Fine-tuning: what learns, what holds still, and many trials in one program."""

import functools
import json

import jax
import ml_collections
import numpy as np
import pytest
from makers import predicted
from trees import leaves

from persona_jax import arms
from persona_jax.data import batching
from persona_jax.model import predict
from persona_jax.model.build import GROUPS, build
from persona_jax.training import fine_tune, group_feed, losses


def test_every_arm_that_fine_tunes_has_a_recipe(config):
  assert tuple(fine_tune.recipes(config.adapt)) == arms.FINE_TUNED


@pytest.fixture(scope='module')
def user(finished, teachers, corpus):
  """The first fold's user: (task, supports [R, K], the corpus on the device)."""
  case = finished.folds.cases[0]
  clips = batching.pad(case.user.clips, len(case.user.clips))
  task = fine_tune.FoldTask(teachers[0].params, finished.normaliser(case.fold), (clips,))
  supports = finished.draws(case).support.astype(np.int32)
  return task, supports, jax.device_put(group_feed.shared_corpus(corpus))


EVERYTHING = fine_tune.Recipe()


@functools.cache
def compiled(config, recipe):
  """The program of a config, as JSON, and a recipe."""
  config = ml_collections.ConfigDict(json.loads(config))
  return of_corpus(fine_tune.FineTuner(config, recipe))


def of_corpus(fine_tuner):
  """`FineTuner.personalise` on clips of the corpus."""

  def personalise(task, shared, steps, support):
    clips = predict.gather(shared.clips, task.normaliser, support.clips, dict(steps))
    labels = shared.labels[support.clips]
    return fine_tuner.personalise(task.params, clips, labels, support.weights, support.label_weight)

  return jax.jit(personalise, static_argnums=2)


def personalise(config, user, weight, recipe=EVERYTHING, support=None, weights=None):
  """Fine-tunes to the user's first draw."""
  task, supports, shared = user
  support = supports[0] if support is None else support
  weights = np.ones(len(support)) if weights is None else weights
  return compiled(config.to_json(), recipe)(
    task,
    shared,
    tuple(shared.clips.steps.items()),
    fine_tune.Supports(support, np.float32(weights), np.float32(weight)),
  )


def changed(new, old):
  """[leaves] bool and their paths."""
  return {
    jax.tree_util.keystr(path): bool((a != b).any())
    for (path, a), (_, b) in zip(leaves(new), leaves(old), strict=True)
  }


def test_personalising_moves_towards_the_user_and_distillation_holds_back(user, config, corpus):
  task, supports, shared = user
  distance = {
    weight: sum(
      np.abs(new - old).sum()
      for (_, new), (_, old) in zip(
        leaves(personalise(config, user, weight)), leaves(task.params), strict=True
      )
    )
    for weight in (0.0, 0.6, 1.0)
  }
  # With labels weighing nothing the student already is the teacher, and L1 has no pull at 0.
  assert distance[0.0] == 0
  assert distance[0.6] > 0 and distance[1.0] > 0

  def error(params):
    bound = functools.partial(predict.predict, build(config.model))
    predictions = predicted(bound, params, task.normaliser, corpus, supports[0])
    return np.abs(predictions - corpus.labels[supports[0]]).mean()

  slow = config.copy_and_resolve_references()  # three full strides may overshoot a small error
  slow.adapt.update(adapter_learning_rate=1e-4, base_learning_rate=1e-5)
  assert error(personalise(slow, user, 1.0)) < error(task.params)


def test_the_teacher_is_the_model_before_the_first_step(user, config, corpus):
  """With lambda below 1/2, L1 is least at the teacher's prediction: the student turns back."""
  task, supports, _ = user
  bound = functools.partial(predict.predict, build(config.model))

  def predictions(params):
    return predicted(bound, params, task.normaliser, corpus, supports[0])

  teacher = predictions(task.params)
  held, free = (
    np.abs(predictions(personalise(config, user, weight)) - teacher).mean() for weight in (0.3, 1.0)
  )
  assert 0 < held < 0.7 * free


@pytest.mark.parametrize('distillation', losses.DISTILLATIONS)
def test_no_distillation_pulls_a_student_from_its_teacher(distillation, user, config):
  other = config.copy_and_resolve_references()
  other.adapt.distillation = distillation
  assert not any(changed(personalise(other, user, 0.0), user[0].params).values())
  assert any(changed(personalise(other, user, 0.6), user[0].params).values())


@pytest.mark.parametrize('group', GROUPS)
def test_a_frozen_group_stays_bit_by_bit_and_the_other_moves(group, user, config):
  after, before = personalise(config, user, 1.0, fine_tune.Recipe(trained=(group,))), user[0].params
  (other,) = set(GROUPS) - {group}
  assert not any(changed(after[other], before[other]).values())
  assert all(changed(after[group], before[group]).values())


def test_no_gradient_of_a_frozen_group_is_computed(user, config):
  """The backward pass of `fs_adapter` lacks a product for each of the base's four dense layers."""
  task, supports, shared = user
  trial = fine_tune.Supports(supports[0], np.ones(5, np.float32), np.float32(1))

  def products(trained):
    fine_tuner = fine_tune.FineTuner(config, fine_tune.Recipe(trained=trained))
    clips = predict.gather(shared.clips, task.normaliser, trial.clips, shared.clips.steps)
    rest = shared.labels[trial.clips], trial.weights, trial.label_weight
    return str(jax.make_jaxpr(fine_tuner.personalise)(task.params, clips, *rest)).count(
      'dot_general'
    )

  assert products(('adapter',)) == products(GROUPS) - 4


def test_the_distillation_token_holds_to_the_teacher_and_the_user_token_learns(
  user, config, corpus
):
  """From the user's five lowest labels, all far below what the teacher says."""
  task, _, shared = user
  own = task.user_clips[0].clips
  support = own[np.argsort(corpus.labels[own])[:5]]
  recipe = fine_tune.Recipe(distilling=True)
  student = fine_tune.FineTuner(config, recipe)
  clips = predict.gather(shared.clips, task.normaliser, support, shared.clips.steps)
  teacher = build(config.model).apply({'params': task.params}, clips)
  assert (teacher - corpus.labels[support]).min() > 1

  def scores(params):
    return student.model.apply({'params': params}, clips, method='scores')

  start, after = student.start(task.params), personalise(config, user, 0.6, recipe, support)
  np.testing.assert_allclose(scores(start)[:, 0], teacher, atol=1e-5)  # causal: it is not seen
  assert scores(after).shape == (5, 2)
  assert (
    np.abs(scores(after)[:, 0] - teacher).mean() > 2 * np.abs(scores(after)[:, 1] - teacher).mean()
  )
  np.testing.assert_allclose(
    student.model.apply({'params': after}, clips), scores(after).mean(axis=1)
  )
  assert all(changed(after, start).values())


def test_fewer_shots_are_padding(user, config):
  """Three clips, and three of five that count, personalise alike."""
  alone = personalise(config, user, 0.6, support=user[1][0][:3])
  padded = personalise(config, user, 0.6, weights=[1, 1, 1, 0, 0])
  for (path, a), (_, b) in zip(leaves(alone), leaves(padded), strict=True):
    np.testing.assert_allclose(a, b, atol=2e-4, err_msg=jax.tree_util.keystr(path))


@pytest.fixture(scope='module')
def trials(user):
  """Three lambdas of two draws."""
  return fine_tune.Supports(
    np.repeat(user[1], 3, axis=0),
    np.ones((6, 5), np.float32),
    np.tile(np.float32([1, 0.6, 0.3]), 2),
  )


@pytest.fixture(scope='module')
def alone(user, config, trials, corpus):
  """Predictions [6, n] of the trials one by one."""
  task, _, _ = user
  bound = functools.partial(predict.predict, build(config.model))
  return [
    predicted(
      bound,
      personalise(config, user, weight, support=support),
      task.normaliser,
      corpus,
      task.user_clips[0].clips,
    )
    for support, _, weight in zip(*trials, strict=True)
  ]


@pytest.mark.parametrize('vmapped', [1, 4, 6])
def test_trials_together_are_trials_alone(vmapped, user, config, trials, alone):
  task, _, shared = user
  fine_tuner, steps = fine_tune.FineTuner(config, fine_tune.Recipe()), [shared.clips.steps]
  together = jax.jit(
    lambda: fine_tune.fine_tune_and_predict(
      fine_tuner, *steps, steps, vmapped, task, trials, shared
    )
  )()
  assert together.shape == (6, len(task.user_clips[0].clips))  # by four: one batch and a rest
  np.testing.assert_allclose(together, alone, atol=1e-5)
