"""The loop of pre-training over epochs and groups, and its resumption."""

import pathlib
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from makers import break_file
from trees import leaves

from persona_jax import parallel, preemption
from persona_jax.data.plan import Plan
from persona_jax.errors import UserError
from persona_jax.evaluation import predict, study
from persona_jax.model.build import build
from persona_jax.training import items, pretrain, steps
from persona_jax.training.checkpoint import Checkpoints


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


def damaged_copy(trained, workdir, *folders):
  """The workdir of a finished run, with these folders of it damaged."""
  shutil.copytree(trained[0], workdir, dirs_exist_ok=True)
  for folder in folders:
    break_file(workdir / 'checkpoints' / folder, 'truncated')


def test_a_damaged_teacher_is_made_again_from_the_epoch_before_its_last(
    trained, tmp_path, corpus, config, plan, caplog):
  damaged_copy(trained, tmp_path, 'teachers/fold_01_seed_0')
  done = []
  again = pretrain.pretrain(corpus, plan, config, tmp_path, lambda fold, epoch, *_: done.append(
      (fold.rank, epoch)))
  expect_same(again, trained[1])
  assert done == [(1, 3)]
  aside = tmp_path / 'checkpoints' / 'damaged' / 'teachers-fold_01_seed_0-0'
  assert 'fold_01_seed_0 is damaged' in caplog.text and aside.is_dir() and str(aside) in caplog.text
  assert (tmp_path / 'checkpoints' / 'teachers' / 'fold_01_seed_0').is_dir()


def test_a_damaged_checkpoint_is_passed_over(trained, tmp_path, corpus, config, plan, caplog):
  """The fold falls back by an epoch, and no other fold does."""
  last = 2 * plan.num_batches
  damaged_copy(trained, tmp_path, f'pretrain/fold_01_seed_0/{last}')
  for name in ('fold_01_seed_0', 'fold_02_seed_0'):
    shutil.rmtree(tmp_path / 'checkpoints' / 'teachers' / name)
  done = []
  again = pretrain.pretrain(corpus, plan, config, tmp_path, lambda fold, epoch, *_: done.append(
      (fold.rank, epoch)))
  expect_same(again, trained[1])
  assert done == [(1, 2), (1, 3), (2, 3)]
  assert f'fold_01_seed_0/{last} is damaged' in caplog.text
  aside = tmp_path / 'checkpoints' / 'damaged' / f'pretrain-fold_01_seed_0-{last}-0'
  assert aside.is_dir() and str(aside) in caplog.text


def test_a_fold_without_an_undamaged_checkpoint_starts_over(trained, tmp_path, corpus, config, plan,
                                                            caplog):
  damaged_copy(trained, tmp_path, 'teachers/fold_01_seed_0',
               *(f'pretrain/fold_01_seed_0/{epoch * plan.num_batches}' for epoch in (1, 2)))
  expect_same(pretrain.pretrain(corpus, plan, config, tmp_path), trained[1])
  assert 'left of fold_01_seed_0; its pre-training starts over' in caplog.text


def test_begun_on_one_device_and_resumed_on_two_no_epoch_is_trained_twice(
    trained, tmp_path, corpus, config, plan, monkeypatch):
  """Killed with fold 0 done and fold 1 at its second epoch; fold 2 then shares a program with it."""
  class Killed(Exception):
    """Stands for SIGKILL."""

  epochs = []

  def log(fold, epoch, *losses):
    epochs.append((fold.rank, epoch))
    if epochs == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]:
      raise Killed

  with monkeypatch.context() as patch:
    one = jax.make_mesh((1,), ('fold',), devices=jax.devices()[:1], axis_types=(AxisType.Auto,))
    patch.setattr(parallel, 'fold_mesh', lambda: one)
    with pytest.raises(Killed):
      pretrain.pretrain(corpus, plan, config, tmp_path, log)
  ours = pretrain.pretrain(corpus, plan, config, tmp_path, log)
  assert epochs[5:] == [(2, 1), (2, 2), (1, 3), (2, 3)]
  for mine, other in zip(ours, trained[1], strict=True):
    np.testing.assert_allclose(mine.curves, other.curves, atol=1e-5)


def test_stopped_again_while_a_fold_catches_up(trained, tmp_path, corpus, config, plan, monkeypatch):
  """Stopped within an epoch with fold 0 and 1; fold 2 must catch up to the middle of an epoch."""
  def stop_after(checks):
    asked = iter([False] * checks + [True])
    monkeypatch.setattr(preemption, 'requested', lambda: next(asked))
    with pytest.raises(preemption.Preempted):
      pretrain.pretrain(corpus, plan, config, tmp_path)

  assert plan.num_batches == 2
  stop_after(3)  # folds 0 and 1 at step 3
  shutil.rmtree(tmp_path / 'checkpoints' / 'pretrain' / 'fold_01_seed_0')  # as of a run of fold 0 alone
  stop_after(3)  # fold 1 has caught up, and both stop before step 4
  steps = {}
  for name in ('fold_00_seed_0', 'fold_01_seed_0'):
    with Checkpoints(tmp_path, pretrain.STAGE, name) as saved:
      steps[name] = max(saved.steps())
  assert steps == {'fold_00_seed_0': 3, 'fold_01_seed_0': 3}
  monkeypatch.undo()
  expect_same(pretrain.pretrain(corpus, plan, config, tmp_path), trained[1])


def test_orbax_alone_restores_the_best_parameters_by_the_lines_in_readme(trained, tmp_path, monkeypatch):
  readme = (pathlib.Path(__file__).parents[2] / 'README.md').read_text()
  lines, = [block for block in re.findall(r'```python\n(.*?)```', readme, re.S) if 'orbax' in block]
  assert 'persona_jax' not in lines
  (tmp_path / 'runs').mkdir()
  (tmp_path / 'runs' / 'demo').symlink_to(trained[0])
  monkeypatch.chdir(tmp_path)
  found = {}
  exec(lines, found)
  assert set(found['params']) == {'adapter', 'base'}
  for (path, a), (_, b) in zip(leaves(found['params']), leaves(trained[1][0].params), strict=True):
    np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path))


def test_a_step_is_queued_while_the_one_before_it_runs(tmp_path, corpus, config, plan, monkeypatch):
  """Each step is waited for once the next has been given to the device, no sooner."""
  events, wait, over_folds = [], jax.block_until_ready, parallel.over_folds

  def watched(function, mesh, donate_state=False):
    run = over_folds(function, mesh, donate_state)
    if getattr(function, '__name__', '') != 'train_step':
      return run

    def step(*inputs):
      events.append('given')
      return run(*inputs)
    return step

  monkeypatch.setattr(parallel, 'over_folds', watched)
  monkeypatch.setattr(jax, 'block_until_ready', lambda x: events.append(
      None if x is None else int(np.asarray(x)[0])) or wait(x))
  alone = config.copy_and_resolve_references()
  alone.study.folds, alone.pretrain.batch_size = (0,), 8
  alone.pretrain.num_epochs = 1
  small = Plan(corpus, alone)
  assert small.num_batches == 5
  pretrain.pretrain(corpus, small, alone, tmp_path)
  assert events == ['given', None, 'given', 1, 'given', 2, 'given', 3, 'given', 4]


def test_batches_of_one_clip_train(tmp_path, corpus, config):
  """Folds differ in their number of clips: no batch may be empty, or the loss would be 0/0."""
  ones = config.copy_and_resolve_references()
  ones.pretrain.update(batch_size=1, num_epochs=1)
  made = Plan(corpus, ones)
  counts = [len(fold.train) for fold in made.folds]
  assert made.num_batches == min(counts) < max(counts) and made.batch_size == 2
  for result in pretrain.pretrain(corpus, made, ones, tmp_path):
    assert np.isfinite(result.curves).all()


def test_finished_folds_are_read_not_trained(trained, corpus, config, plan, monkeypatch):
  monkeypatch.setattr(Checkpoints, 'save', None)  # to save again would fail
  monkeypatch.setattr(items, 'write', None)
  again = pretrain.pretrain(corpus, plan, config, trained[0])
  np.testing.assert_array_equal(again[2].curves, trained[1][2].curves)


def test_a_fold_alone_is_the_fold_in_the_study(trained, tmp_path, corpus, config):
  alone = config.copy_and_resolve_references()
  alone.study.folds = (2,)
  result, = pretrain.pretrain(corpus, Plan(corpus, alone), alone, tmp_path)
  np.testing.assert_array_equal(result.curves, trained[1][2].curves)


def test_all_folds_predicted_in_one_call_are_each_predicted_alone(trained, tmp_path, corpus, config,
                                                                   plan):
  shifting = config.copy_and_resolve_references()
  shifting.study.arms = ('baseline', 'mean_shift')  # which looks at the validation clips as well
  together = study.predict_plain(corpus, plan, shifting, tmp_path / 'one', trained[1])
  shared = jax.device_put(pretrain.shared_corpus(corpus))
  for fold, teacher, predictions in zip(plan.chosen, trained[1], together):
    normaliser = pretrain.fold_inputs(corpus, plan, fold).normaliser
    for clips, ours in ((fold.own, predictions.own), (fold.valid, predictions.valid)):
      alone = predict.predict(build(config.model), teacher.params, normaliser, shared.clips, clips)
      np.testing.assert_allclose(ours, alone, atol=1e-5)
  for whole, without in zip(together, study.predict_plain(corpus, plan, config, tmp_path / 'two',
                                                         trained[1])):
    np.testing.assert_allclose(without.own, whole.own, atol=1e-5)
    assert not len(without.valid)
