"""Pre-training of every fold, in groups that share one program, resumed from checkpoints."""

import contextlib
import dataclasses
import logging
import pathlib
from typing import Callable, NoReturn, Sequence

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from persona_jax import config as configuration, parallel, preemption
from persona_jax.data import batching, folds as data_folds, normalize
from persona_jax.data.corpus import Corpus
from persona_jax.data.folds import Draws, Fold
from persona_jax.errors import UserError
from persona_jax.model.build import build
from persona_jax.progress import Progress
from persona_jax.training.checkpoint import Checkpoints, newest
from persona_jax.training.state import TrainState
from persona_jax.training.steps import FoldInputs, Pretraining, Shared
from persona_jax.types import Params

STAGE = 'pretrain'
EpochLog = Callable[[Fold, int, float, float], None]  # epoch from 1, training and validation loss
_LOG = logging.getLogger(__name__)
NORMALISED = ('audio', 'vision')


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """The teacher of one fold, on the host.

  Attributes:
    params: of the best validation epoch.
    best_epoch, best_loss: that epoch, counted from 1, and its validation MAE.
    curves: [num_epochs, 2] training and validation loss of every epoch.
  """

  params: Params
  best_epoch: int
  best_loss: float
  curves: np.ndarray


def shared_corpus(corpus: Corpus) -> Shared:
  return Shared(corpus.clips, corpus.labels)


def fold_inputs(corpus: Corpus, fold: Fold, num_valid: int) -> FoldInputs:
  """The fold's device inputs, its validation clips padded to `num_valid`."""
  normaliser = normalize.fit(corpus.clips, fold.train, NORMALISED)
  return FoldInputs(np.int32(fold.seed), np.int32(fold.rank), normaliser,
                    batching.pad(fold.valid, num_valid))


class Plan:
  """What folds must agree on to share programs: computed from all folds, even when few are run.

  So a fold run alone takes the same steps as in the whole study.
  """

  def __init__(self, corpus: Corpus, config: ml_collections.ConfigDict):
    self._study = study = config.study
    self._shots = max(configuration.shots(config))
    self.folds = data_folds.make_folds(corpus, study.num_users, config.pretrain.train_fraction,
                                       configuration.seeds(config), study.first_user)
    self.chosen = [fold for fold in self.folds
                   if not study.folds or fold.rank - study.first_user in study.folds]
    self.num_valid = max(len(fold.valid) for fold in self.folds)
    self.num_own = max(len(fold.own) for fold in self.folds)
    self.num_batches = batching.num_batches(
        max(len(fold.train) for fold in self.folds), config.pretrain.batch_size)

  def draws(self, fold: Fold) -> Draws:
    """The fold's random supports; fewer shots take the first clips of each."""
    return data_folds.draw_supports(fold, self._study.num_draws, self._shots, self._study.num_query)


def pretrain(corpus: Corpus, plan: Plan, config: ml_collections.ConfigDict, workdir: pathlib.Path,
             log: EpochLog | None = None) -> list[Pretrained]:
  """Pre-trains the plan's chosen folds, or finishes what a killed run began; one result a fold.

  Args:
    log: is told of every fold's epoch as it ends.
  """
  mesh = parallel.fold_mesh()
  trainer = _GroupTrainer(corpus, plan, config, mesh, log)
  size = parallel.group_size(len(plan.chosen), mesh)
  results = {}
  with Progress('pre-training', len(plan.chosen) * config.pretrain.num_epochs,
                'epochs') as progress:
    todo = []
    for fold in plan.chosen:
      results[fold.name] = load(corpus, plan, config, workdir, fold)
      if results[fold.name] is None:
        todo.append(fold)
      else:
        progress.advance(config.pretrain.num_epochs)
    for group in (todo[i:i + size] for i in range(0, len(todo), size)):
      results |= zip((fold.name for fold in group), trainer.train(group, size, workdir, progress))
  return [results[fold.name] for fold in plan.chosen]


def load(corpus: Corpus, plan: Plan, config: ml_collections.ConfigDict, workdir: pathlib.Path,
         fold: Fold) -> Pretrained | None:
  """The result of a fold that an earlier run finished, else None."""
  last = config.pretrain.num_epochs * plan.num_batches
  with Checkpoints(workdir, STAGE, fold.name) as saved:
    if last not in saved.steps():
      return None
    state = saved.load(last, state_shapes(corpus, plan, config))
    return None if state is None else _result(state)


def state_shapes(corpus: Corpus, plan: Plan, config: ml_collections.ConfigDict) -> TrainState:
  """Shapes and types of a fold's state, by which a checkpoint is read; all folds' are alike."""
  steps = Pretraining(build(config.model), config)
  inputs = fold_inputs(corpus, plan.folds[0], plan.num_valid)
  return jax.eval_shape(steps.create_state, inputs, shared_corpus(corpus))


class _GroupTrainer:
  """Compiles once, trains one group of folds after the other."""

  def __init__(self, corpus: Corpus, plan: Plan, config: ml_collections.ConfigDict, mesh: Mesh,
               log: EpochLog | None):
    steps = Pretraining(build(config.model), config)
    self._corpus, self._plan, self._config, self._mesh, self._log = corpus, plan, config, mesh, log
    self._shared = parallel.replicate(shared_corpus(corpus), mesh)
    self._create = parallel.over_folds(
        lambda _, inputs, shared: steps.create_state(inputs, shared), mesh)
    self._step = parallel.over_folds(steps.train_step, mesh, donate_state=True)
    self._end_epoch = parallel.over_folds(steps.end_epoch, mesh, donate_state=True)
    self._like = state_shapes(corpus, plan, config)

  def _inputs(self, fold: Fold) -> FoldInputs:
    return fold_inputs(self._corpus, fold, self._plan.num_valid)

  def train(self, group: Sequence[Fold], size: int, workdir: pathlib.Path,
            progress: Progress) -> list[Pretrained]:
    """Trains one group to its end, from the newest step that all of it have saved.

    Raises:
      Preempted: the process is asked to stop; the state is saved.
      UserError: a loss or gradient is not finite; the state before it is saved.
    """
    inputs = parallel.shard(
        parallel.stack([self._inputs(fold) for fold in group], size), self._mesh)
    with contextlib.ExitStack() as stack:
      saved = [stack.enter_context(Checkpoints(workdir, STAGE, fold.name))
               for fold in group]
      step, state = self._begin(saved, inputs, size)
      first_epoch, begun = divmod(step, self._plan.num_batches)
      progress.advance(first_epoch * len(group))
      for epoch in range(first_epoch, self._config.pretrain.num_epochs):
        state = self._epoch(state, inputs, group, saved, epoch, begun, size)
        begun = 0
        self._save(state, group, saved, (epoch + 1) * self._plan.num_batches)
        progress.advance(len(group), self._report(group, state, epoch))
    return [_result(state) for state in parallel.unstack(state, len(group))]

  def _begin(self, saved: list[Checkpoints], inputs: FoldInputs,
             size: int) -> tuple[int, TrainState]:
    """The steps done and the state after them, of all folds of a group."""
    begun = any(checkpoints.steps() for checkpoints in saved)
    if found := newest(saved, [self._like] * len(saved)):
      step, states = found
      return step, parallel.shard(parallel.stack(states, size), self._mesh)
    if begun:
      _LOG.warning('No undamaged checkpoint is left of these folds; their pre-training starts over.')
    return 0, self._create((), inputs, self._shared)

  def _save(self, state: TrainState, group: Sequence[Fold], saved: list[Checkpoints],
            step: int) -> None:
    states = parallel.unstack(state, len(group))
    for fold, fold_state in zip(group, states):
      _expect_finite(fold, fold_state, self._plan.num_batches)
    for checkpoints, fold_state in zip(saved, states):
      checkpoints.save(step, fold_state)

  def _epoch(self, state: TrainState, inputs: FoldInputs, group: Sequence[Fold],
             saved: list[Checkpoints], epoch: int, begun: int, size: int) -> TrainState:
    """The steps of an epoch behind the `begun` first, and its end."""
    batches = [batching.split(data_folds.epoch_order(fold, epoch),
                              self._plan.num_batches, self._config.pretrain.batch_size)
               for fold in group]
    step_inputs = (inputs, parallel.shard(parallel.stack(batches, size), self._mesh))
    for step in range(begun, self._plan.num_batches):
      if preemption.requested():
        self._stop(state, group, saved, epoch, step)
      state = jax.block_until_ready(self._step(state, step_inputs, self._shared))
    return self._end_epoch(state, step_inputs, self._shared)

  def _report(self, group: Sequence[Fold], state: TrainState, epoch: int) -> str:
    """The losses of a finished epoch, logged by fold, and their means as the progress line's text."""
    losses = [curve[epoch] for curve in parallel.fetch(state.curves)[:len(group)]]
    for fold, (train, valid) in zip(group, losses):
      _LOG.info('%s, epoch %d: training loss %.3f, validation loss %.3f', fold.name, epoch + 1, train,
                valid)
      if self._log:
        self._log(fold, epoch + 1, float(train), float(valid))
    train, valid = np.mean(losses, axis=0)
    folds = ', '.join(str(fold.rank) for fold in group)
    return f'fold {folds}, epoch {epoch + 1}: loss {train:.2f}, valid {valid:.2f}'

  def _stop(self, state: TrainState, group: Sequence[Fold], saved: list[Checkpoints], epoch: int,
            step: int) -> NoReturn:
    """Saves in the middle of an epoch, and stops.

    Several processes hear of the signal at different steps, and cannot save together: there the end
    of the last epoch must do.
    """
    if step and jax.process_count() == 1:
      self._save(state, group, saved, epoch * self._plan.num_batches + step)
    raise preemption.Preempted(
        f'in epoch {epoch + 1} after step {step} of {self._plan.num_batches}, '
        f'{", ".join(fold.name for fold in group)}')


def _expect_finite(fold: Fold, state: TrainState, num_batches: int) -> None:
  """Raises `UserError` if a loss or gradient of the fold was not finite."""
  if state.fault.step:
    epoch, step = divmod(int(state.fault.step) - 1, num_batches)
    groups = ' and '.join(group for group, wrong in state.fault.groups.items() if wrong)
    what = f'the gradient of {groups}' if groups else 'the loss'
    where = f'epoch {epoch + 1}, step {step + 1} of {num_batches}'
  elif not np.isfinite(state.curves[:state.epoch]).all():
    what, where = 'the validation loss', f'epoch {state.epoch}'
  else:
    return
  raise UserError(f'{fold.name} ({fold.user}), {where}: {what} is not finite. The checkpoint '
                  'before is kept; --debug_nans finds the operation, a lower '
                  'config.pretrain.learning_rate may help.')


def _result(state: TrainState) -> Pretrained:
  return Pretrained(state.best_params, int(state.best_epoch), float(state.best_loss), state.curves)
