"""Pre-training of every fold, in groups that share one program, resumed from checkpoints."""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from persona_jax.data import fold_plan
from persona_jax.data.folds import Fold
from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.model.build import build
from persona_jax.runtime import parallel, preemption
from persona_jax.runtime.progress import Progress
from persona_jax.training import damage, items, memory
from persona_jax.training.checkpoint import Checkpoints
from persona_jax.training.first_states import FirstStates
from persona_jax.training.group_feed import Fed, GroupFeed
from persona_jax.training.state import TrainState
from persona_jax.training.steps import Pretraining
from persona_jax.types import Params

STAGE = 'pretrain'
EpochLog = Callable[[Fold, int, float, float], None]  # epoch from 1, training and validation loss
Meanwhile = Callable[[Params], None]  # of the shapes and types of a teacher's parameters
_LOG = logging.getLogger(__name__)


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


def pretrain(
  study: Study, log: EpochLog | None = None, meanwhile: Meanwhile | None = None
) -> list[Pretrained]:
  """Pre-trains the chosen folds' teachers, or finishes what an interrupted run began.

  Args:
    log: is called at the end of every epoch of every fold.
    meanwhile: is called once if anything is to train: at the first step, or with `quick_compile`
      when that begins to be compiled.

  Returns:
    The teachers in the order of `FoldPlan.of_teachers`.
  """
  folds, epochs = study.folds.of_teachers, study.config.pretrain.num_epochs
  first = FirstStates(study)
  like = first.shapes()
  results: dict[str, Pretrained] = {}
  for fold in folds:
    if (teacher := _load_or_set_aside(study, fold, like.params)) is not None:
      results[fold.name] = teacher
  todo = [fold for fold in folds if fold.name not in results]
  with Progress('pre-training', len(folds) * epochs, 'epochs') as progress:
    progress.advance((len(folds) - len(todo)) * epochs)
    if todo:
      trainer = _Trainer(study, first, log, meanwhile, progress)
      for group in (todo[i : i + trainer.size] for i in range(0, len(todo), trainer.size)):
        results |= zip((fold.name for fold in group), trainer.train(group), strict=True)
  return [results[fold.name] for fold in folds]


def load(study: Study, fold: Fold, like: Params) -> Pretrained | None:
  """Loads the teacher of a fold; None if its pre-training has not finished.

  Args:
    like: the shapes and types of its parameters.

  Raises:
    Damaged, UserError: as `items.read`.
  """
  found = items.read(study.teacher_folder(fold), like)
  if found is None:
    return None
  params, about = found
  return Pretrained(
    params, about['best_epoch'], about['best_loss'], np.array(about['curves'], np.float32)
  )


def _load_or_set_aside(study: Study, fold: Fold, like: Params) -> Pretrained | None:
  """`load`; a damaged teacher is set aside, and made again from the newest checkpoint."""
  try:
    return load(study, fold, like)
  except damage.Damaged as error:
    folder = study.teacher_folder(fold)
    damage.set_aside(folder, study.checkpoints, f'{folder.parent.name}-{fold.name}', error)
    return None


@dataclasses.dataclass
class _Run:
  """A fold's progress: its steps done, and the host state after them."""

  fold: Fold
  saved: Checkpoints
  step: int
  state: TrainState


class _Trainer:
  """Compiles once, and trains one group of folds after the other.

  Attributes:
    size: the folds that the program holds.
  """

  def __init__(
    self,
    study: Study,
    first: FirstStates,
    log: EpochLog | None,
    meanwhile: Meanwhile | None,
    progress: Progress,
  ):
    self._study, self._first, self._progress = study, first, progress
    self._log, self._meanwhile = log, meanwhile
    self._like = first.shapes()
    self._plan, config = study.folds, study.config
    self._last = config.pretrain.num_epochs * self._plan.num_batches
    mesh = parallel.fold_mesh()
    self.size = parallel.group_size(
      len(self._plan.of_teachers),
      mesh,
      memory.copy_bytes(
        self._like.params,
        self._plan.buckets.longest,
        study.corpus.clips.widths,
        self._plan.batch_size,
        config.model,
      ),
    )
    self._feed = GroupFeed(study, self.size, mesh)
    steps = Pretraining(build(config.model), config, self._plan.buckets.steps)
    self._steps = [
      parallel.over_folds(functools.partial(steps.train_step, bucket), mesh, donate_state=True)
      for bucket in range(len(self._plan.batches))
    ]
    self._end_epoch = parallel.over_folds(steps.end_epoch, mesh, donate_state=True)

  def train(self, folds: Sequence[Fold]) -> list[Pretrained]:
    """Trains at most `size` folds to their ends, each from its own newest checkpoint.

    Folds that share a program take their steps together. So folds that are behind first catch up
    with the next ones, in a program whose other places are idle. No saved step is repeated.

    Raises:
      Preempted: the process is asked to stop; the state is saved.
      UserError: a loss or gradient is not finite; the state before it is saved.
    """
    with contextlib.ExitStack() as stack:
      runs = [
        self._begin(
          fold, stack.enter_context(Checkpoints(self._study.checkpoints, STAGE, fold.name))
        )
        for fold in folds
      ]
      while (step := min(run.step for run in runs)) < self._last:
        until = min((run.step for run in runs if run.step > step), default=self._last)
        self._advance([run for run in runs if run.step == step], until)
    return [_result(run) for run in runs]

  def _begin(self, fold: Fold, saved: Checkpoints) -> _Run:
    begun = bool(saved.steps())
    found = saved.newest(self._like)
    if begun and found is None:
      _LOG.warning(
        'No undamaged checkpoint of %s is left; its pre-training starts over.', fold.name
      )
    step, state = found or (0, self._first.of(fold))
    self._progress.advance(step // self._plan.num_batches)
    return _Run(fold, saved, step, state)

  def _advance(self, runs: list[_Run], until: int) -> None:
    """Takes folds that have done equally many steps to the step `until`."""
    step, num_batches = runs[0].step, self._plan.num_batches
    validation = self._feed.validation([run.fold for run in runs])
    state = self._feed.put([run.state for run in runs])
    while step < until:
      epoch, first = divmod(step, num_batches)
      steps = range(first, min(num_batches, until - epoch * num_batches))
      state = self._take_steps(state, runs, epoch, steps, validation)
      step = epoch * num_batches + steps.stop
      if steps.stop == num_batches:
        state = self._end_epoch(state, validation.inputs, validation.shared)
        self._save(state, runs, step)
        self._progress.advance(len(runs), self._report(runs, state, epoch))
    for run, run_state in zip(runs, parallel.unstack(state, len(runs)), strict=True):
      run.step, run.state = step, run_state

  def _take_steps(
    self, state: TrainState, runs: list[_Run], epoch: int, steps: range, validation: Fed
  ) -> TrainState:
    """Takes some steps of an epoch; each is queued while the one before it runs."""
    queued, buckets = None, fold_plan.bucket_order(self._plan, epoch)
    for fed in self._feed.portions([run.fold for run in runs], epoch, steps):
      self._compile(state, fed, validation)
      for step in fed.steps:
        if preemption.requested():
          self._stop(state, runs, epoch, step)
        state = self._steps[buckets[step]](state, fed.inputs, fed.shared)
        self._begin_meanwhile()
        before, queued = queued, jnp.copy(state.step)  # the state itself is given to the next step
        jax.block_until_ready(before)
    return state

  def _compile(self, state: TrainState, fed: Fed, validation: Fed) -> None:
    """Begins to compile what is needed, in that order, unless it has begun before."""
    for program in self._steps:
      program.compile(state, fed.inputs, fed.shared)
    self._end_epoch.compile(state, validation.inputs, validation.shared)
    # Compiling optimized programs beside these would take half as much memory again.
    if self._study.config.quick_compile:
      self._begin_meanwhile()

  def _begin_meanwhile(self) -> None:
    if self._meanwhile:
      self._meanwhile(self._like.params)
      self._meanwhile = None

  def _save(self, state: TrainState, runs: list[_Run], step: int) -> None:
    """Saves the states, or after the last step the teachers, which are all that is needed then."""
    states = parallel.unstack(state, len(runs))
    for run, run_state in zip(runs, states, strict=True):
      _expect_finite(run.fold, run_state, self._plan.num_batches)
    for run, run_state in zip(runs, states, strict=True):
      if step < self._last:
        # If this run took no step yet, the previous run has saved this one already.
        if step not in run.saved.steps():
          run.saved.save(step, run_state)
      elif parallel.is_primary_process():
        items.write(
          self._study.teacher_folder(run.fold),
          run_state.best_params,
          dict(
            best_epoch=int(run_state.best_epoch),
            best_loss=float(run_state.best_loss),
            curves=run_state.curves.tolist(),
          ),
        )

  def _report(self, runs: list[_Run], state: TrainState, epoch: int) -> str:
    """Logs the losses of a finished epoch per fold; returns their means for the progress line."""
    losses = [curve[epoch] for curve in parallel.fetch(state.curves)[: len(runs)]]
    for run, (train, valid) in zip(runs, losses, strict=True):
      _LOG.info(
        '%s, epoch %d: training loss %.3f, validation loss %.3f',
        run.fold.name,
        epoch + 1,
        train,
        valid,
      )
      if self._log:
        self._log(run.fold, epoch + 1, float(train), float(valid))
    train, valid = np.mean(losses, axis=0)
    folds = ', '.join(str(run.fold.rank) for run in runs)
    return f'fold {folds}, epoch {epoch + 1}: loss {train:.2f}, valid {valid:.2f}'

  def _stop(self, state: TrainState, runs: list[_Run], epoch: int, step: int) -> NoReturn:
    """Saves in the middle of an epoch, and stops.

    Several processes receive the signal at different steps and cannot save together; they resume
    from the end of the last epoch.
    """
    if step and jax.process_count() == 1:
      self._save(state, runs, epoch * self._plan.num_batches + step)
    raise preemption.Preempted(
      f'in epoch {epoch + 1} after step {step} of {self._plan.num_batches}, '
      f'{", ".join(run.fold.name for run in runs)}'
    )


def _expect_finite(fold: Fold, state: TrainState, num_batches: int) -> None:
  """Raises `UserError` if a loss or gradient of the fold was not finite."""
  if state.fault.step:
    epoch, step = divmod(int(state.fault.step) - 1, num_batches)
    groups = ' and '.join(group for group, wrong in state.fault.groups.items() if wrong)
    what = f'the gradient of {groups}' if groups else 'the loss'
    where = f'epoch {epoch + 1}, step {step + 1} of {num_batches}'
  elif not np.isfinite(state.curves[: state.epoch]).all():
    what, where = 'the validation loss', f'epoch {state.epoch}'
  else:
    return
  raise UserError(
    f'{fold.name} ({fold.label}), {where}: {what} is not finite. The checkpoint '
    'before it is kept; --debug_nans finds the operation, a lower '
    'config.pretrain.learning_rate in another --workdir may help.'
  )


def _result(run: _Run) -> Pretrained:
  """The teacher of a fold that has done its last step."""
  state = run.state
  return Pretrained(
    state.best_params, int(state.best_epoch), float(state.best_loss), np.asarray(state.curves)
  )
