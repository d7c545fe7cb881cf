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

from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.runtime import parallel, preemption
from persona_jax.training import items, pretrain, steps
from persona_jax.training.checkpoint import Checkpoints


def test_best_epoch_is_that_of_the_least_validation_loss(teachers):
  for teacher in teachers:
    assert teacher.best_loss == teacher.curves[:, 1].min()
    assert teacher.best_epoch == teacher.curves[:, 1].argmin() + 1


def expect_same(ours, theirs):
  for mine, other in zip(ours, theirs, strict=True):
    np.testing.assert_array_equal(mine.curves, other.curves)
    for (path, a), (_, b) in zip(leaves(mine.params), leaves(other.params), strict=True):
      np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path))


@pytest.mark.cpus
def test_resumed_is_uninterrupted(teachers, study, monkeypatch):
  """Stops one fold after one epoch and another after two, as a kill between two saves would."""

  class Killed(Exception):
    """Stands for SIGKILL."""

  saves, save = [], Checkpoints.save

  def save_until_killed(self, step, tree):
    if len(saves) == 3:
      raise Killed
    saves.append(step // study.folds.num_batches)
    save(self, step, tree)

  monkeypatch.setattr(Checkpoints, 'save', save_until_killed)
  with pytest.raises(Killed):
    pretrain.pretrain(study)
  assert saves == [1, 1, 2]
  monkeypatch.undo()
  expect_same(pretrain.pretrain(study), teachers)


def test_preempted_in_an_epoch_goes_on_at_that_step(teachers, study, monkeypatch):
  asked = iter([False] * (study.folds.num_batches + 1) + [True])
  monkeypatch.setattr(preemption, 'requested', lambda: next(asked))
  with pytest.raises(
    preemption.Preempted, match='in epoch 2 after step 1 of 2, fold_00_seed_0, fold_01'
  ):
    pretrain.pretrain(study)
  for name in ('fold_00_seed_0', 'fold_01_seed_0'):
    with Checkpoints(study.checkpoints, pretrain.STAGE, name) as saved:
      assert max(saved.steps()) == study.folds.num_batches + 1
  monkeypatch.undo()
  expect_same(pretrain.pretrain(study), teachers)


@pytest.mark.parametrize(
  'part, what',
  [
    ('adapter', 'epoch 2, step 2 of 2: the gradient of adapter is not finite'),
    ('base', 'epoch 2, step 2 of 2: the gradient of base is not finite'),
    ('loss', 'epoch 2, step 2 of 2: the loss is not finite'),
    ('validation', 'epoch 2: the validation loss is not finite'),
  ],
)
def test_what_is_not_finite_stops_with_its_place(part, what, study, monkeypatch):
  """NaN in the fourth step of fold 1, in its gradient or loss; or after it, in the parameters."""
  train_step = steps.Pretraining.train_step

  def poisoned(self, bucket, state, inputs, shared):
    bad = (state.step == 3) & (inputs[0].rank == 1)

    def poison(x):
      return jnp.where(bad, jnp.nan, x)

    if part == 'validation':
      after = train_step(self, bucket, state, inputs, shared)
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
      return train_step(self, bucket, state, inputs, shared)

  monkeypatch.setattr(steps.Pretraining, 'train_step', poisoned)
  with pytest.raises(UserError, match=rf'fold_01_seed_0 \({study.folds.all[1].label}\), {what}'):
    pretrain.pretrain(study)
  for name in ('fold_00_seed_0', 'fold_01_seed_0'):
    with Checkpoints(study.checkpoints, pretrain.STAGE, name) as saved:
      assert saved.steps() == {study.folds.num_batches}  # the epoch before


def damaged_copy(finished, study, *folders):
  """Fills the study's workdir with that of the finished one, these folders of it damaged."""
  shutil.copytree(finished.workdir, study.workdir, dirs_exist_ok=True)
  for folder in folders:
    break_file(study.checkpoints / folder, 'truncated')


def test_a_damaged_teacher_is_made_again_from_the_epoch_before_its_last(
  finished, teachers, study, caplog
):
  damaged_copy(finished, study, 'teachers/fold_01_seed_0')
  done = []
  again = pretrain.pretrain(study, lambda fold, epoch, *_: done.append((fold.rank, epoch)))
  expect_same(again, teachers)
  assert done == [(1, 3)]
  aside = study.checkpoints / 'damaged' / 'teachers-fold_01_seed_0-0'
  assert 'fold_01_seed_0 is damaged' in caplog.text and aside.is_dir() and str(aside) in caplog.text
  assert (study.checkpoints / 'teachers' / 'fold_01_seed_0').is_dir()


def test_a_damaged_checkpoint_is_passed_over(finished, teachers, study, caplog):
  """The fold falls back by an epoch, and no other fold does."""
  last = 2 * study.folds.num_batches
  damaged_copy(finished, study, f'pretrain/fold_01_seed_0/{last}')
  for name in ('fold_01_seed_0', 'fold_02_seed_0'):
    shutil.rmtree(study.checkpoints / 'teachers' / name)
  done = []
  again = pretrain.pretrain(study, lambda fold, epoch, *_: done.append((fold.rank, epoch)))
  expect_same(again, teachers)
  assert done == [(1, 2), (1, 3), (2, 3)]
  assert f'fold_01_seed_0/{last} is damaged' in caplog.text
  aside = study.checkpoints / 'damaged' / f'pretrain-fold_01_seed_0-{last}-0'
  assert aside.is_dir() and str(aside) in caplog.text


def test_a_fold_without_an_undamaged_checkpoint_starts_over(finished, teachers, study, caplog):
  damaged_copy(
    finished,
    study,
    'teachers/fold_01_seed_0',
    *(f'pretrain/fold_01_seed_0/{epoch * study.folds.num_batches}' for epoch in (1, 2)),
  )
  expect_same(pretrain.pretrain(study), teachers)
  assert 'checkpoint of fold_01_seed_0 is left; its pre-training starts over' in caplog.text


@pytest.mark.cpus
def test_begun_on_one_device_and_resumed_on_two_no_epoch_is_trained_twice(
  teachers, study, monkeypatch
):
  """Killed with fold 0 done and fold 1 at its second epoch; fold 2 then shares its program."""

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
      pretrain.pretrain(study, log)
  ours = pretrain.pretrain(study, log)
  assert epochs[5:] == [(2, 1), (2, 2), (1, 3), (2, 3)]
  for mine, other in zip(ours, teachers, strict=True):
    np.testing.assert_allclose(mine.curves, other.curves, atol=1e-5)


def test_stopped_again_while_a_fold_catches_up(teachers, study, monkeypatch):
  """Stopped within an epoch with fold 0 and 1; fold 2 must catch up to the middle of an epoch."""

  def stop_after(checks):
    asked = iter([False] * checks + [True])
    monkeypatch.setattr(preemption, 'requested', lambda: next(asked))
    with pytest.raises(preemption.Preempted):
      pretrain.pretrain(study)

  assert study.folds.num_batches == 2
  stop_after(3)  # folds 0 and 1 at step 3
  shutil.rmtree(study.checkpoints / 'pretrain' / 'fold_01_seed_0')  # as of a run of fold 0 alone
  stop_after(3)  # fold 1 has caught up, and both stop before step 4
  steps = {}
  for name in ('fold_00_seed_0', 'fold_01_seed_0'):
    with Checkpoints(study.checkpoints, pretrain.STAGE, name) as saved:
      steps[name] = max(saved.steps())
  assert steps == {'fold_00_seed_0': 3, 'fold_01_seed_0': 3}
  monkeypatch.undo()
  expect_same(pretrain.pretrain(study), teachers)


def documented(word: str) -> str:
  """The one block of Python in the project's documents that has a word."""
  root = pathlib.Path(__file__).parents[2]
  documents = [*root.glob('*.md'), *root.glob('[a-z]*/*.md')]
  texts = [path.read_text() for path in documents if path.parent.name != 'runs']
  blocks = [block for text in texts for block in re.findall(r'```python\n(.*?)```', text, re.S)]
  (found,) = [block for block in blocks if word in block]
  return found


def test_orbax_alone_restores_the_best_parameters_by_the_documented_lines(
  finished, teachers, tmp_path, monkeypatch
):
  lines = documented('orbax')
  assert 'persona_jax' not in lines
  (tmp_path / 'runs').mkdir()
  (tmp_path / 'runs' / 'demo').symlink_to(finished.workdir)
  monkeypatch.chdir(tmp_path)
  found = {}
  exec(lines, found)
  assert set(found['params']) == {'adapter', 'base'}
  for (path, a), (_, b) in zip(leaves(found['params']), leaves(teachers[0].params), strict=True):
    np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path))


def test_a_step_is_queued_while_the_one_before_it_runs(tmp_path, corpus, config, monkeypatch):
  """Each step is waited for once the next has been given to the device, no sooner."""
  events, watched, wait = [], [], jax.block_until_ready
  over_folds, call = parallel.over_folds, parallel.Program.__call__

  def noticed(function, mesh, donate_state=False):
    program = over_folds(function, mesh, donate_state)
    if 'train_step' in repr(function):
      watched.append(program)
    return program

  def called(self, *arrays):
    if self in watched:
      events.append('given')
    return call(self, *arrays)

  monkeypatch.setattr(parallel, 'over_folds', noticed)
  monkeypatch.setattr(parallel.Program, '__call__', called)
  monkeypatch.setattr(
    jax,
    'block_until_ready',
    lambda x: events.append(None if x is None else int(np.asarray(x)[0])) or wait(x),
  )
  alone = config.copy_and_resolve_references()
  alone.study.folds, alone.pretrain.batch_size = (0,), 8
  alone.pretrain.num_epochs = 1
  small = Study.plan(alone, corpus, tmp_path)
  assert small.folds.num_batches == 5
  pretrain.pretrain(small)
  assert events == ['given', None, 'given', 1, 'given', 2, 'given', 3, 'given', 4]


def test_batches_of_one_clip_train(tmp_path, corpus, config):
  """Folds differ in their number of clips: no batch may be empty, or the loss would be 0/0."""
  ones = config.copy_and_resolve_references()
  ones.pretrain.update(batch_size=1, num_epochs=1)
  study = Study.plan(ones, corpus, tmp_path)
  counts = [len(fold.train) for fold in study.folds.all]
  assert study.folds.num_batches == min(counts) < max(counts) and study.folds.batch_size == 2
  for result in pretrain.pretrain(study):
    assert np.isfinite(result.curves).all()


def test_finished_folds_are_read_not_trained(finished, teachers, monkeypatch):
  monkeypatch.setattr(Checkpoints, 'save', None)  # to save again would fail
  monkeypatch.setattr(items, 'write', None)
  again = pretrain.pretrain(finished)
  np.testing.assert_array_equal(again[2].curves, teachers[2].curves)


@pytest.mark.cpus
def test_a_fold_alone_is_the_fold_in_the_study(teachers, tmp_path, corpus, config):
  alone = config.copy_and_resolve_references()
  alone.study.folds = (2,)
  (result,) = pretrain.pretrain(Study.plan(alone, corpus, tmp_path))
  np.testing.assert_array_equal(result.curves, teachers[2].curves)


def test_what_is_done_meanwhile_is_begun_once(finished, teachers, study):
  given = []
  pretrain.pretrain(study, meanwhile=given.append)  # two groups of folds
  (like,) = given
  expected = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), teachers[0].params)
  assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), like) == expected
  pretrain.pretrain(study, meanwhile=given.append)  # nothing is left to train
  assert len(given) == 1


@pytest.mark.parametrize('quick, expected', [(True, 'meanwhile'), (False, 'step')])
def test_only_quick_programs_are_compiled_beside_those_that_train(
  quick, expected, config, corpus, tmp_path, monkeypatch
):
  """Optimized ones would take half as much memory again."""
  events, call = [], parallel.Program.__call__
  monkeypatch.setattr(
    parallel.Program, '__call__', lambda self, *arrays: events.append('step') or call(self, *arrays)
  )
  alone = config.copy_and_resolve_references()
  alone.study.folds, alone.pretrain.num_epochs, alone.quick_compile = (0,), 1, quick
  study = Study.plan(alone, corpus, tmp_path)
  pretrain.pretrain(study, meanwhile=lambda _: events.append('meanwhile'))
  assert events[0] == expected and events.count('meanwhile') == 1 and 'step' in events
