"""Personalises every draw of every arm of the study, group by group, each fold's result checkpointed."""

import pathlib
from typing import Iterable, Iterator, Sequence

import jax
import ml_collections
import numpy as np

from persona_jax import parallel, preemption
from persona_jax.data import batching
from persona_jax.data.corpus import Corpus
from persona_jax.data.folds import Draws, Fold
from persona_jax.errors import UserError
from persona_jax.model.build import build
from persona_jax.progress import Progress
from persona_jax.training import pretrain
from persona_jax.training.adapt import FoldTask, Personalising, Trials, predict_trials
from persona_jax.training.checkpoint import Checkpoints, fold_name
from persona_jax.training.pretrain import Plan, Pretrained
from persona_jax.types import Params

STAGE = 'adapt'
FINE_TUNED = ('fs_ua', 'fs_ua_kd')
Results = dict[int, dict[str, np.ndarray]]
_STEP = 1  # a fold's personalisations are saved once, when all are done


def label_weights(config: ml_collections.ConfigDict) -> dict[str, float]:
  """{arm: lambda} of the arms that fine-tune; `config` is `config.adapt`."""
  return dict(zip(FINE_TUNED, (1.0, config.weight)))


class StudyPersonaliser:
  """The study's second stage: one compiled program, run group by group."""

  def __init__(self, corpus: Corpus, plan: Plan, config: ml_collections.ConfigDict,
               workdir: pathlib.Path, draws: Sequence[Draws]):
    self._corpus, self._plan, self._workdir, self._draws = corpus, plan, workdir, draws
    self._config, self._weights = config, label_weights(config.adapt)
    self._mesh = parallel.trial_mesh(len(plan.chosen))
    self._size = parallel.group_size(len(plan.chosen), self._mesh)
    self._shared = parallel.replicate(pretrain.shared_corpus(corpus), self._mesh)
    self._results = {}
    for fold in plan.chosen:
      if (saved := self._load(fold)) is not None:
        self._results[fold.rank] = saved
    self._todo = [i for i, fold in enumerate(plan.chosen) if fold.rank not in self._results]
    model = build(config.model)
    personalising = Personalising(model, config)
    self._program = parallel.over_folds(
        lambda task, trials, shared: predict_trials(personalising, model, task, trials, shared),
        self._mesh)

  def _load(self, fold: Fold) -> dict[str, np.ndarray] | None:
    shape = (len(self._weights), self._config.study.num_draws, len(fold.own))
    like = {'predictions': jax.ShapeDtypeStruct(shape, np.float32)}
    with Checkpoints(self._workdir, STAGE, fold_name(fold.rank)) as saved:
      tree = saved.load(_STEP, like) if _STEP in saved.steps() else None
    return None if tree is None else dict(zip(self._weights, tree['predictions']))

  def _task(self, fold: Fold, params: Params) -> FoldTask:
    inputs = pretrain.fold_inputs(self._corpus, fold, self._plan.num_valid)
    return FoldTask(params, inputs.normaliser, batching.pad(fold.own, self._plan.num_own).clips)

  def _trials(self, fold: Fold, draws: Draws) -> Trials:
    """Every arm's draws one behind the other, the first repeated to fill the devices."""
    support = fold.own[draws.support].astype(np.int32)
    trials = [Trials(clips, np.float32(weight))
              for weight in self._weights.values() for clips in support]
    return parallel.stack(trials, parallel.padded_trials(len(trials), self._mesh))

  def run(self, teachers: Sequence[Pretrained]) -> Iterator[Results]:
    """Personalises the folds still to do, and yields all there is whenever a group of them is done.

    Yields:
      {fold rank: {arm: [R, k] predictions of all the user's clips}}; first of the folds that an
      earlier run finished, if any.

    Raises:
      Preempted: the process is asked to stop; the folds done are saved.
      UserError: a prediction is not finite.
    """
    with Progress('personalising', len(self._plan.chosen), 'users') as progress:
      progress.advance(len(self._results))
      if self._results:
        yield self._results
      for start in range(0, len(self._todo), self._size):
        if preemption.requested():
          raise preemption.Preempted(f'with {len(self._results)} users personalised')
        group = self._todo[start:start + self._size]
        self._run_group(group, [teachers[i].params for i in group])
        progress.advance(len(group), f'user {self._plan.chosen[group[-1]].user}')
        yield self._results

  def _run_group(self, group: Sequence[int], params: Sequence[Params]) -> None:
    folds = [self._plan.chosen[i] for i in group]
    tasks = [self._task(fold, teacher) for fold, teacher in zip(folds, params)]
    trials = [self._trials(fold, self._draws[i]) for fold, i in zip(folds, group)]
    predictions = parallel.fetch(self._program(
        parallel.shard(parallel.stack(tasks, self._size), self._mesh),
        parallel.shard_trials(parallel.stack(trials, self._size), self._mesh), self._shared))
    num_draws = self._config.study.num_draws
    for rows, fold in zip(predictions, folds):
      rows = rows[:len(self._weights) * num_draws, :len(fold.own)]
      rows = rows.reshape(len(self._weights), num_draws, -1)
      arms = dict(zip(self._weights, rows))
      expect_finite(fold, arms)
      with Checkpoints(self._workdir, STAGE, fold_name(fold.rank)) as saved:
        saved.save(_STEP, {'predictions': rows})
      self._results[fold.rank] = arms


def expect_finite(fold: Fold, arms: dict[str, np.ndarray]) -> None:
  """Raises `UserError` for the first arm and draw ([R, k] or [k]) with a prediction not finite."""
  for arm, rows in arms.items():
    wrong = np.argwhere(~np.isfinite(rows))
    if len(wrong):
      draw = f', draw {wrong[0][0]}' if rows.ndim > 1 else ''
      raise UserError(f'fold {fold.rank} ({fold.user}), arm {arm}{draw}: a prediction is not finite; '
                      '--debug_nans finds the operation.')
