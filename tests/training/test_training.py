"""The steps, the loop and its resumption, and personalising, on the smallest base model."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import synthetic
from makers import break_file
from persona_jax import parallel, preemption
from persona_jax.data import batching, corpus as data_corpus
from persona_jax.errors import UserError
from persona_jax.evaluation import predict, study
from persona_jax.model.build import GROUPS, build
from persona_jax.training import adapt, losses, pretrain, steps
from persona_jax.training.checkpoint import Checkpoints


@pytest.fixture(scope='module')
def config():
  config = synthetic.get_config('smoke')
  config.model.name = 'early_fusion'
  config.pretrain.num_epochs = 3
  return config


@pytest.fixture(scope='module')
def corpus(config):
  return data_corpus.load(config)


@pytest.fixture(scope='module')
def plan(corpus, config):
  return pretrain.Plan(corpus, config)


@pytest.fixture(scope='module')
def fold(corpus, config, plan):
  """One fold as the steps see it: (steps, inputs, shared)."""
  inputs = pretrain.fold_inputs(corpus, plan.folds[0], plan.num_valid)
  shared = jax.device_put(pretrain.shared_corpus(corpus))
  return steps.Pretraining(build(config.model), config), inputs, shared


@pytest.fixture(scope='module')
def fresh(fold):
  training, inputs, shared = fold
  return jax.jit(training.create_state)(inputs, shared)


def leaves(tree):
  return jax.tree_util.tree_leaves_with_path(jax.device_get(tree))


def test_one_step_moves_every_parameter_and_counts(fold, fresh, plan):
  training, inputs, shared = fold
  batch = batching.split(plan.folds[0].train[:7], 1, 7)  # odd: as many errors up as down would cancel
  after = jax.jit(training.train_step)(fresh, (inputs, jax.device_put(batch)), shared)
  assert after.step == 1 and after.train_loss > 0
  for (path, old), (_, new) in zip(leaves(fresh.params), leaves(after.params)):
    assert (old != new).any(), jax.tree_util.keystr(path)


def test_padding_of_a_batch_changes_nothing(fold, fresh, plan):
  training, inputs, shared = fold
  step = jax.jit(lambda state, batch: training.end_epoch(
      state, (inputs._replace(valid=batch), batching.Indices(*jnp.zeros((2, 1, 1)))), shared))
  losses = [step(fresh, jax.device_put(batching.pad(plan.folds[0].valid[:5], n))).curves[0, 1]
            for n in (5, 9)]
  np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_end_of_epoch_keeps_the_best(fold, fresh):
  training, inputs, shared = fold
  one_batch = jnp.zeros((4, 1))
  end = jax.jit(lambda state: training.end_epoch(state, (inputs, batching.Indices(one_batch, one_batch)),
                                                 shared))
  better = end(fresh.replace(best_loss=jnp.float32(99), train_loss=jnp.float32(8)))
  assert better.best_epoch == better.epoch == 1 and better.train_loss == 0
  np.testing.assert_allclose(better.curves[0], [2.0, better.best_loss], rtol=1e-6)  # 8 over 4 steps
  moved = better.replace(params=jax.tree.map(lambda x: x + 1, better.params))
  worse = end(moved.replace(best_loss=jnp.float32(0)))
  assert worse.best_loss == 0 and worse.best_epoch == 1 and worse.epoch == 2
  for (_, old), (_, kept) in zip(leaves(better.best_params), leaves(worse.best_params)):
    np.testing.assert_array_equal(old, kept)


@pytest.fixture(scope='module')
def trained(tmp_path_factory, corpus, config, plan):
  workdir = tmp_path_factory.mktemp('run')
  return workdir, pretrain.pretrain(corpus, plan, config, workdir)


def test_training_learns_a_batch_by_heart(fold, fresh, plan, config, corpus):
  _, inputs, shared = fold
  certain = config.copy_and_resolve_references()
  certain.model.dropout = {place: 0.0 for place in certain.model.dropout}
  training = steps.Pretraining(build(certain.model), certain)
  clips = plan.folds[0].train[:7]
  batch = jax.device_put(batching.split(clips, 1, 7))
  step = jax.jit(lambda state: training.train_step(state, (inputs, batch), shared))
  state = fresh
  for _ in range(200):
    state = step(state)

  def error(params):
    predictions = predict.predict(build(config.model), params, inputs.normaliser, shared.clips, clips)
    return np.abs(predictions - corpus.labels[clips]).mean()

  assert error(state.params) < 0.25 * error(fresh.params)


def test_best_epoch_is_that_of_the_least_validation_loss(trained):
  for teacher in trained[1]:
    assert teacher.best_loss == teacher.curves[:, 1].min()
    assert teacher.best_epoch == teacher.curves[:, 1].argmin() + 1


def expect_same(ours, theirs):
  for mine, other in zip(ours, theirs, strict=True):
    np.testing.assert_array_equal(mine.curves, other.curves)
    for (path, a), (_, b) in zip(leaves(mine.params), leaves(other.params)):
      np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path))


def test_resumed_is_uninterrupted(trained, tmp_path, corpus, config, plan, monkeypatch):
  """Stops one fold after one epoch and another after two, as a kill between two saves would."""
  class Killed(Exception):
    """Stands for SIGKILL."""

  saves, save = [], Checkpoints.save

  def save_until_killed(self, step, tree):
    if len(saves) == 3:
      raise Killed
    saves.append(step // plan.num_batches)
    save(self, step, tree)

  monkeypatch.setattr(Checkpoints, 'save', save_until_killed)
  with pytest.raises(Killed):
    pretrain.pretrain(corpus, plan, config, tmp_path)
  assert saves == [1, 1, 2]
  monkeypatch.undo()
  expect_same(pretrain.pretrain(corpus, plan, config, tmp_path), trained[1])


def test_preempted_in_an_epoch_goes_on_at_that_step(trained, tmp_path, corpus, config, plan,
                                                    monkeypatch):
  asked = iter([False] * (plan.num_batches + 1) + [True])
  monkeypatch.setattr(preemption, 'requested', lambda: next(asked))
  with pytest.raises(preemption.Preempted, match='in epoch 2 after step 1 of 2, fold_00_seed_0, fold_01'):
    pretrain.pretrain(corpus, plan, config, tmp_path)
  for name in ('fold_00_seed_0', 'fold_01_seed_0'):
    with Checkpoints(tmp_path, pretrain.STAGE, name) as saved:
      assert max(saved.steps()) == plan.num_batches + 1
  monkeypatch.undo()
  expect_same(pretrain.pretrain(corpus, plan, config, tmp_path), trained[1])


@pytest.mark.parametrize('part, what', [
    ('adapter', 'epoch 2, step 2 of 2: the gradient of adapter is not finite'),
    ('base', 'epoch 2, step 2 of 2: the gradient of base is not finite'),
    ('loss', 'epoch 2, step 2 of 2: the loss is not finite'),
    ('validation', 'epoch 2: the validation loss is not finite')])
def test_what_is_not_finite_stops_with_its_place(part, what, tmp_path, corpus, config, plan,
                                                 monkeypatch):
  """NaN in the fourth step of fold 1, in its gradient or loss; or after it, in the parameters."""
  train_step = steps.Pretraining.train_step

  def poisoned(self, state, inputs, shared):
    bad = (state.step == 3) & (inputs[0].rank == 1)
    poison = lambda x: jnp.where(bad, jnp.nan, x)
    if part == 'validation':
      after = train_step(self, state, inputs, shared)
      return after.replace(params=jax.tree.map(poison, after.params))
    value_and_grad = jax.value_and_grad

    def wrapped(function):
      def run(params):
        loss, gradients = value_and_grad(function)(params)
        if part == 'loss':
          return poison(loss), gradients
        return loss, gradients | {part: jax.tree.map(poison, gradients[part])}
      return run

    with monkeypatch.context() as patch:
      patch.setattr(jax, 'value_and_grad', wrapped)
      return train_step(self, state, inputs, shared)

  monkeypatch.setattr(steps.Pretraining, 'train_step', poisoned)
  with pytest.raises(UserError, match=rf'fold_01_seed_0 \({plan.folds[1].user}\), {what}'):
    pretrain.pretrain(corpus, plan, config, tmp_path)
  for name in ('fold_00_seed_0', 'fold_01_seed_0'):
    with Checkpoints(tmp_path, pretrain.STAGE, name) as saved:
      assert saved.steps() == {plan.num_batches}  # the epoch before


def test_a_damaged_checkpoint_is_passed_over(trained, tmp_path, corpus, config, plan, caplog):
  shutil.copytree(trained[0], tmp_path, dirs_exist_ok=True)
  last, before = (epoch * plan.num_batches for epoch in (3, 2))
  folder = tmp_path / 'checkpoints' / pretrain.STAGE / 'fold_01_seed_0'
  break_file(folder / str(last), 'truncated')
  expect_same(pretrain.pretrain(corpus, plan, config, tmp_path), trained[1])
  assert f'fold_01_seed_0/{last} is damaged' in caplog.text
  aside = tmp_path / 'checkpoints' / 'damaged' / f'pretrain-fold_01_seed_0-{last}-0'
  assert aside.is_dir() and str(aside) in caplog.text
  assert (folder / str(last)).is_dir() and (folder / str(before)).is_dir()


def test_without_an_undamaged_checkpoint_the_stage_starts_over(trained, tmp_path, corpus, config,
                                                               plan, caplog):
  shutil.copytree(trained[0], tmp_path, dirs_exist_ok=True)
  for step in (1, 2, 3):
    break_file(tmp_path / 'checkpoints' / pretrain.STAGE / 'fold_01_seed_0' / str(step * plan.num_batches),
               'truncated')
  expect_same(pretrain.pretrain(corpus, plan, config, tmp_path), trained[1])
  assert 'their pre-training starts over' in caplog.text


def test_finished_folds_are_read_not_trained(trained, corpus, config, plan, monkeypatch):
  monkeypatch.setattr(Checkpoints, 'save', None)  # to save again would fail
  again = pretrain.pretrain(corpus, plan, config, trained[0])
  np.testing.assert_array_equal(again[2].curves, trained[1][2].curves)


def test_a_fold_alone_is_the_fold_in_the_study(trained, tmp_path, corpus, config):
  alone = config.copy_and_resolve_references()
  alone.study.folds = (2,)
  result, = pretrain.pretrain(corpus, pretrain.Plan(corpus, alone), alone, tmp_path)
  np.testing.assert_array_equal(result.curves, trained[1][2].curves)


@pytest.fixture(scope='module')
def user(trained, corpus, config, plan):
  """The first fold's user: (task, supports [R, K], the corpus on the device)."""
  fold = plan.folds[0]
  task = adapt.FoldTask(trained[1][0].params,
                        pretrain.fold_inputs(corpus, fold, plan.num_valid).normaliser,
                        fold.own.astype(np.int32))
  supports = fold.own[study.draws_of(fold, config).support].astype(np.int32)
  return task, supports, jax.device_put(pretrain.shared_corpus(corpus))


def personalise(config, user, weight, recipe=adapt.Recipe(), support=None, weights=None):
  """Fine-tunes to the user's first draw."""
  task, supports, shared = user
  support = supports[0] if support is None else support
  weights = np.ones(len(support)) if weights is None else weights
  personalising = adapt.Personalising(config, recipe)
  return jax.jit(personalising.personalise)(
      task.params, task.normaliser, shared,
      adapt.Trials(support, np.float32(weights), np.float32(weight)))


def changed(new, old):
  """[leaves] bool and their paths."""
  return {jax.tree_util.keystr(path): bool((a != b).any())
          for (path, a), (_, b) in zip(leaves(new), leaves(old))}


def test_personalising_moves_towards_the_user_and_distillation_holds_back(user, config, corpus):
  task, supports, shared = user
  distance = {weight: sum(np.abs(new - old).sum() for (_, new), (_, old) in zip(
      leaves(personalise(config, user, weight)), leaves(task.params))) for weight in (0.0, 0.6, 1.0)}
  # With labels weighing nothing the student already is the teacher, and L1 has no pull at 0.
  assert distance[0.0] == 0
  assert distance[0.6] > 0 and distance[1.0] > 0

  def error(params):
    predictions = predict.predict(build(config.model), params, task.normaliser, shared.clips,
                                  supports[0])
    return np.abs(predictions - corpus.labels[supports[0]]).mean()

  slow = config.copy_and_resolve_references()  # three full strides may overshoot a small error
  slow.adapt.update(adapter_learning_rate=1e-4, base_learning_rate=1e-5)
  assert error(personalise(slow, user, 1.0)) < error(task.params)


@pytest.mark.parametrize('distillation', losses.DISTILLATIONS)
def test_no_distillation_pulls_a_student_from_its_teacher(distillation, user, config):
  other = config.copy_and_resolve_references()
  other.adapt.distillation = distillation
  assert not any(changed(personalise(other, user, 0.0), user[0].params).values())
  assert any(changed(personalise(other, user, 0.6), user[0].params).values())


@pytest.mark.parametrize('group', GROUPS)
def test_a_frozen_group_stays_bit_by_bit_and_the_other_moves(group, user, config):
  after, before = personalise(config, user, 1.0, adapt.Recipe(trained=(group,))), user[0].params
  other, = set(GROUPS) - {group}
  assert not any(changed(after[other], before[other]).values())
  assert all(changed(after[group], before[group]).values())


def test_no_gradient_of_a_frozen_group_is_computed(user, config):
  """The backward pass of `fs_adapter` is smaller by the base's weight gradients."""
  task, supports, shared = user
  trial = adapt.Trials(supports[0], np.ones(5, np.float32), np.float32(1))

  def products(trained):
    personalising = adapt.Personalising(config, adapt.Recipe(trained=trained))
    return str(jax.make_jaxpr(personalising.personalise)(
        task.params, task.normaliser, shared, trial)).count('dot_general')

  assert products(('adapter',)) < products(GROUPS) - 5


def test_the_distillation_token_holds_to_the_teacher_and_the_user_token_learns(user, config):
  task, supports, shared = user
  recipe = adapt.Recipe(distilling=True)
  student = adapt.Personalising(config, recipe)
  clips = predict.gather(shared.clips, task.normaliser, supports[0])
  teacher = build(config.model).apply({'params': task.params}, clips)
  scores = lambda params: student.model.apply({'params': params}, clips, method='scores')
  start, after = student.start(task.params), personalise(config, user, 0.6, recipe)
  np.testing.assert_allclose(scores(start)[:, 0], teacher, atol=1e-5)  # causal: it is not seen
  assert scores(after).shape == (5, 2)
  assert np.abs(scores(after)[:, 0] - teacher).mean() > 2 * np.abs(scores(after)[:, 1] - teacher).mean()
  np.testing.assert_allclose(student.model.apply({'params': after}, clips), scores(after).mean(axis=1))
  assert all(changed(after, start).values())


def test_fewer_shots_are_padding(user, config):
  """Three clips, and three of five that count, personalise alike."""
  alone = personalise(config, user, 0.6, support=user[1][0][:3])
  padded = personalise(config, user, 0.6, weights=[1, 1, 1, 0, 0])
  for (path, a), (_, b) in zip(leaves(alone), leaves(padded)):
    np.testing.assert_allclose(a, b, atol=2e-4, err_msg=jax.tree_util.keystr(path))


def test_trials_together_are_trials_alone(user, config):
  task, supports, shared = user
  personalising = adapt.Personalising(config, adapt.Recipe())
  trials = adapt.Trials(np.repeat(supports, 3, axis=0), np.ones((6, 5), np.float32),
                        np.tile(np.float32([1, 0.6, 0.3]), 2))
  together = jax.jit(lambda: adapt.predict_trials(personalising, task, trials, shared))()
  assert together.shape == (6, len(task.own))  # one batch of four and a rest
  for predictions, support, _, weight in zip(together, *trials):
    params = personalise(config, user, weight, support=support)
    alone = predict.predict(personalising.model, params, task.normaliser, shared.clips, task.own)
    np.testing.assert_allclose(predictions, alone, atol=1e-5)


def test_all_folds_predicted_in_one_call_are_each_predicted_alone(trained, corpus, config, plan):
  together = study.predict_plain(corpus, plan, config, trained[1])
  shared = jax.device_put(pretrain.shared_corpus(corpus))
  for fold, teacher, predictions in zip(plan.chosen, trained[1], together):
    normaliser = pretrain.fold_inputs(corpus, fold, plan.num_valid).normaliser
    for clips, ours in ((fold.own, predictions.own), (fold.valid, predictions.valid)):
      alone = predict.predict(build(config.model), teacher.params, normaliser, shared.clips, clips)
      np.testing.assert_allclose(ours, alone, atol=1e-5)


def test_groups_and_trials_fill_the_devices():
  folds = parallel.fold_mesh()
  assert folds.size == parallel.group_size(3, folds) == 2
  rows, shared = parallel.trial_mesh(10), parallel.trial_mesh(3)  # of two devices
  assert dict(rows.shape) == {'fold': 2, 'trial': 1} and dict(shared.shape) == {'fold': 1, 'trial': 2}
  assert parallel.group_size(10, rows) == 2 and parallel.group_size(3, shared) == 1
  assert parallel.padded_trials(40, rows) == 40 and parallel.padded_trials(6, rows) == 8
  assert parallel.padded_trials(40, shared) == 40 and parallel.padded_trials(6, shared) == 16
