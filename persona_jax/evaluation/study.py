"""The leave-one-speaker-out study: pre-train, personalise, predict, record, report."""

import collections
import contextlib
import itertools
import pathlib
from typing import Iterator, Sequence

import ml_collections
import numpy as np

from persona_jax import config as configuration
from persona_jax import parallel, workdir as work
from persona_jax.data import batching, corpus as data_corpus, folds as data_folds
from persona_jax.data.corpus import Corpus
from persona_jax.data.folds import Draws, Fold
from persona_jax.evaluation import predict
from persona_jax.evaluation.personalise import StudyPersonaliser, expect_finite
from persona_jax.model.build import build
from persona_jax.reporting import records, tables
from persona_jax.training import pretrain
from persona_jax.training.pretrain import Plan, Pretrained

REPORT = 'report.md'


@contextlib.contextmanager
def opened(config: ml_collections.ConfigDict,
           workdir: pathlib.Path) -> Iterator[tuple[Corpus, Plan]]:
  """Holds the workdir as its one writer, with the corpus and folds it is about.

  Raises:
    UserError: the config, the folder or the data are not as expected.
  """
  configuration.validate(config)
  with work.held(workdir):
    work.begin(workdir, config)
    corpus = data_corpus.load(config)
    plan = Plan(corpus, config)
    work.note_corpus(workdir, corpus, [fold.user for fold in plan.folds])
    yield corpus, plan


def run(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> str:
  """Runs the whole study, or what a killed one left to do.

  Returns:
    The report; nothing on a process that does not write.
  """
  with opened(config, workdir) as (corpus, plan):
    draws = [draws_of(fold, config) for fold in plan.chosen]  # may refuse: before hours of training
    personaliser = StudyPersonaliser(corpus, plan, config, workdir, draws)
    teachers = pretrain.pretrain(corpus, plan, config, workdir)
    baseline = predict_users(corpus, plan, config, teachers)
    for results in personaliser.run(teachers):
      done = [fold_trials(corpus, fold, fold_draws, config.seed, base, results[fold.rank])
              for fold, fold_draws, base in zip(plan.chosen, draws, baseline)
              if fold.rank in results]
      if parallel.writes():
        records.write(workdir, itertools.chain(*done))
    return write_report([workdir], workdir) if parallel.writes() else ''


def pretrain_only(config: ml_collections.ConfigDict,
                  workdir: pathlib.Path) -> tuple[list[Fold], list[Pretrained]]:
  """The study's first stage alone: the chosen folds and their teachers."""
  with opened(config, workdir) as (corpus, plan):
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
  users = [row[:len(fold.own)] for row, fold in zip(parallel.fetch(predictions), plan.chosen)]
  for fold, row in zip(plan.chosen, users):
    expect_finite(fold, {'baseline': row})
  return users


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
  versions = ', '.join(f'{name} {version}' for name, version in environment['packages'].items())
  devices = collections.Counter(environment['devices'])
  notes = [f'config.seed {config["seed"]}, config {work.config_hash(config)}, commit '
           f'{environment["commit"] or "unknown"}.',
           f'Made with Python {environment["python"]}, {versions}, on '
           f'{", ".join(f"{count} x {kind}" for kind, count in devices.items())}.']
  text = tables.report(records.read(sources), records.read_json(sources[0] / work.CORPUS), notes)
  records.write_text(target / REPORT, text)
  return text
