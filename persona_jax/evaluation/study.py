"""The leave-one-speaker-out study: pre-train, personalise, predict, record, report."""

import pathlib
from typing import Iterable, Sequence

import ml_collections
import numpy as np
from jax.sharding import Mesh

from persona_jax import config as configuration
from persona_jax import parallel, workdir as work
from persona_jax.data import batching, corpus as data_corpus, folds as data_folds
from persona_jax.data.corpus import Corpus
from persona_jax.data.folds import Draws, Fold
from persona_jax.evaluation import predict
from persona_jax.model.build import build
from persona_jax.progress import Progress
from persona_jax.reporting import records, tables
from persona_jax.training import pretrain
from persona_jax.training.adapt import FoldTask, Personalising, Trials, predict_trials
from persona_jax.training.checkpoint import Checkpoints, fold_name
from persona_jax.training.pretrain import Plan, Pretrained

STAGE = 'adapt'
REPORT = 'report.md'
FINE_TUNED = ('fs_ua', 'fs_ua_kd')


def label_weights(config: ml_collections.ConfigDict) -> dict[str, float]:
  """{arm: lambda} of the arms that fine-tune; `config` is `config.adapt`."""
  return dict(zip(FINE_TUNED, (1.0, config.weight)))


def prepare(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> tuple[Corpus, Plan]:
  """Checks the config, opens the workdir, loads the corpus and makes the folds.

  Raises:
    UserError: something of it is not as expected.
  """
  configuration.validate(config)
  work.open_workdir(workdir, config)
  corpus = data_corpus.load(config)
  plan = Plan(corpus, config)
  work.write_corpus(workdir, corpus, [fold.user for fold in plan.folds])
  return corpus, plan


def run(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> str:
  """Runs the whole study, or what a killed one left to do.

  Returns:
    The report; nothing on a process that does not write.
  """
  corpus, plan = prepare(config, workdir)
  draws = [draws_of(fold, config) for fold in plan.chosen]  # before hours of training: may refuse
  teachers = pretrain.pretrain(corpus, plan, config, workdir)
  baseline = predict_users(corpus, plan, config, teachers)
  personal = personalise_users(corpus, plan, config, workdir, teachers, draws)
  if not parallel.writes():
    return ''
  trials = []
  for fold, fold_draws, base, arms in zip(plan.chosen, draws, baseline, personal):
    trials += fold_trials(corpus, fold, fold_draws, config.seed, base, arms)
  records.write(workdir, trials)
  return write_report([workdir], workdir)


def pretrain_only(config: ml_collections.ConfigDict,
                  workdir: pathlib.Path) -> tuple[list[Fold], list[Pretrained]]:
  """The study's first stage alone: the chosen folds and their teachers."""
  corpus, plan = prepare(config, workdir)
  return plan.chosen, pretrain.pretrain(corpus, plan, config, workdir)


def draws_of(fold: Fold, config: ml_collections.ConfigDict) -> Draws:
  study = config.study
  return data_folds.draw_supports(fold, config.seed, study.num_draws, study.num_support,
                                  study.num_query)


def predict_users(corpus: Corpus, plan: Plan, config: ml_collections.ConfigDict,
                  teachers: Sequence[Pretrained]) -> list[np.ndarray]:
  """Every fold's user predicted by the fold's teacher, all folds in one compiled call.

  Returns:
    For each chosen fold, [k] predictions of the user's clips.
  """
  mesh, model = parallel.fold_mesh(), build(config.model)
  # At least two folds a device: XLA drops a loop of one and rounds otherwise, and a fold's records
  # would depend on how many devices and neighbours it had.
  size = parallel.padded(max(len(plan.chosen), 2 * mesh.size), mesh.size)

  def one_fold(params, inputs, shared):
    normaliser, own = inputs
    return predict.predict(model, params, normaliser, shared.clips, own)

  inputs = [(pretrain.fold_inputs(corpus, fold, plan.num_valid).normaliser,
             batching.pad(fold.own, plan.num_own).clips) for fold in plan.chosen]
  stacked = [parallel.shard(parallel.stack(trees, size), mesh)
             for trees in ([teacher.params for teacher in teachers], inputs)]
  predictions = parallel.over_folds(one_fold, mesh)(
      *stacked, parallel.replicate(pretrain.shared_corpus(corpus), mesh))
  return [row[:len(fold.own)] for row, fold in zip(parallel.fetch(predictions), plan.chosen)]


def personalise_users(corpus: Corpus, plan: Plan, config: ml_collections.ConfigDict,
                      workdir: pathlib.Path, teachers: Sequence[Pretrained],
                      draws: Sequence[Draws]) -> list[dict[str, np.ndarray]]:
  """Personalises every draw of every arm, group by group, each fold's result checkpointed.

  Returns:
    For each chosen fold, {arm: [R, k] predictions of all the user's clips}.
  """
  mesh, model = parallel.trial_mesh(len(plan.chosen)), build(config.model)
  personalising = Personalising(model, config)
  weights = label_weights(config.adapt)
  program = parallel.over_folds(
      lambda task, trials, shared: predict_trials(personalising, model, task, trials, shared), mesh)
  shared = parallel.replicate(pretrain.shared_corpus(corpus), mesh)
  size = parallel.group_size(len(plan.chosen), mesh)
  results = {}
  with Progress('personalising', len(plan.chosen), 'users') as progress:
    for fold in plan.chosen:
      shape = (len(weights), config.study.num_draws, len(fold.own))
      with Checkpoints(workdir, STAGE, fold_name(fold.rank)) as saved:
        if saved.steps():
          like = {'predictions': np.zeros(shape, np.float32)}
          results[fold.rank] = saved.restore(1, like)['predictions']
          progress.advance()
    todo = [i for i, fold in enumerate(plan.chosen) if fold.rank not in results]
    for group in (todo[i:i + size] for i in range(0, len(todo), size)):
      tasks = [_task(corpus, plan, plan.chosen[i], teachers[i]) for i in group]
      trials = [_trials(plan.chosen[i], draws[i], weights.values(), mesh) for i in group]
      predictions = parallel.fetch(program(
          parallel.shard(parallel.stack(tasks, size), mesh),
          parallel.shard_trials(parallel.stack(trials, size), mesh), shared))
      for row, i in zip(predictions, group):
        fold = plan.chosen[i]
        row = row[:len(weights) * config.study.num_draws, :len(fold.own)]
        results[fold.rank] = row.reshape(len(weights), config.study.num_draws, -1)
        with Checkpoints(workdir, STAGE, fold_name(fold.rank)) as saved:
          saved.save(1, {'predictions': results[fold.rank]})
        progress.advance(text=f'user {fold.user}')
  return [dict(zip(weights, results[fold.rank])) for fold in plan.chosen]


def _task(corpus: Corpus, plan: Plan, fold: Fold, teacher: Pretrained) -> FoldTask:
  return FoldTask(teacher.params, pretrain.fold_inputs(corpus, fold, plan.num_valid).normaliser,
                  batching.pad(fold.own, plan.num_own).clips)


def _trials(fold: Fold, draws: Draws, weights: Iterable[float], mesh: Mesh) -> Trials:
  """Every arm's draws one behind the other, arms first, the first repeated to fill the devices."""
  support = fold.own[draws.support].astype(np.int32)
  trials = [Trials(clips, np.float32(weight)) for weight in weights for clips in support]
  return parallel.stack(trials, parallel.padded_trials(len(trials), mesh))


def fold_trials(corpus: Corpus, fold: Fold, draws: Draws, seed: int, baseline: np.ndarray,
                arms: dict[str, np.ndarray]) -> list[records.Trial]:
  """A fold's trials: in each draw every arm is scored on the same query clips."""
  predictions = {'baseline': np.broadcast_to(baseline, (len(draws.query), len(baseline))), **arms}
  trials = []
  for arm, rows in predictions.items():
    for number, (row, support, query) in enumerate(zip(rows, draws.support, draws.query)):
      assert not set(support) & set(query)
      clips = fold.own[query]
      trials.append(records.Trial(
          user=fold.user, arm=arm, seed=seed, draw=number, num_support=len(support),
          clips=tuple(corpus.names[clip] for clip in clips), labels=corpus.labels[clips],
          predictions=row[query]))
  return trials


def write_report(sources: Sequence[pathlib.Path], target: pathlib.Path) -> str:
  """Makes `report.md` in `target` from the records of one or several workdirs; returns its text."""
  environment = records.read_json(sources[0] / work.ENVIRONMENT)
  config = records.read_json(sources[0] / work.CONFIG)
  notes = [f'Made with jax {environment["packages"]["jax"]} on {environment["backend"]} '
           f'({len(environment["devices"])} devices), commit {environment["commit"] or "unknown"}, '
           f'config.seed {config["seed"]}.']
  text = tables.report(records.read(sources), records.read_json(sources[0] / work.CORPUS), notes)
  records.write_text(target / REPORT, text)
  return text
