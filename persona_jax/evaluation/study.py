"""The leave-one-speaker-out study: pre-train, personalise, predict, record, report."""

import contextlib
import pathlib
from typing import Iterator, NamedTuple, Sequence

import ml_collections
import numpy as np

from persona_jax import config as configuration
from persona_jax import arms, parallel, workdir as work
from persona_jax.arms import BASELINE, MEAN_SHIFT
from persona_jax.data import batching, corpus as data_corpus
from persona_jax.data.corpus import Corpus
from persona_jax.data.folds import Draws, Fold
from persona_jax.evaluation import mean_shift, predict
from persona_jax.evaluation.personal import UserSession
from persona_jax.evaluation.personalise import Cell, StudyPersonaliser, expect_finite
from persona_jax.model.build import build
from persona_jax.progress import Progress
from persona_jax.reporting import records, report
from persona_jax.tensorboard import epoch_log
from persona_jax.training import pretrain
from persona_jax.training.pretrain import Plan, Pretrained


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
    work.note_corpus(workdir, corpus, list(dict.fromkeys(fold.user for fold in plan.folds)))
    yield corpus, plan


def run(config: ml_collections.ConfigDict, workdir: pathlib.Path, tensorboard: bool = False) -> str:
  """Runs the whole study, or what a killed one left to do.

  Args:
    tensorboard: whether to log losses for TensorBoard.

  Returns:
    The report; nothing on a process that does not write.
  """
  with opened(config, workdir) as (corpus, plan):
    draws = [plan.draws(fold) for fold in plan.chosen]  # may refuse: before hours of training
    teachers = pretrain_folds(corpus, plan, config, workdir, tensorboard)
    plain = predict_plain(corpus, plan, config, teachers)
    trials = {}
    for results in StudyPersonaliser(corpus, plan, config, workdir, draws).run(teachers):
      for fold, fold_draws, unadapted in zip(plan.chosen, draws, plain):
        if fold.name in results and fold.name not in trials:
          trials[fold.name] = list(fold_trials(corpus, fold, fold_draws, config, unadapted,
                                               results[fold.name]))
      if parallel.writes() and trials:
        records.write(workdir, [trial for fold in plan.chosen for trial in trials.get(fold.name, ())])
    if not parallel.writes():
      return ''
    write_attention(corpus, plan, config, workdir, teachers)
    return report.write([workdir], workdir)


def pretrain_only(config: ml_collections.ConfigDict, workdir: pathlib.Path,
                  tensorboard: bool = False) -> tuple[list[Fold], list[Pretrained]]:
  """The study's first stage alone: the chosen folds and their teachers."""
  with opened(config, workdir) as (corpus, plan):
    return plan.chosen, pretrain_folds(corpus, plan, config, workdir, tensorboard)


def pretrain_folds(corpus: Corpus, plan: Plan, config: ml_collections.ConfigDict,
                   workdir: pathlib.Path, tensorboard: bool) -> list[Pretrained]:
  """The chosen folds' teachers, their learning curves written to `curves.csv`."""
  with epoch_log(workdir, tensorboard) as log:
    teachers = pretrain.pretrain(corpus, plan, config, workdir, log)
  if parallel.writes():
    records.write_curves(workdir, {(fold.user, fold.seed): teacher.curves
                                   for fold, teacher in zip(plan.chosen, teachers)})
  return teachers


class Plain(NamedTuple):
  """What a fold's teacher predicts as it is: own [k] of the user's clips, valid [m] of `Fold.valid`.

  The latter is for the mean shift, and empty in a study without it.
  """

  own: np.ndarray
  valid: np.ndarray


def predict_plain(corpus: Corpus, plan: Plan, config: ml_collections.ConfigDict,
                  teachers: Sequence[Pretrained]) -> list[Plain]:
  """Every fold's user predicted by the fold's teacher, all folds in one compiled call."""
  mesh, model = parallel.fold_mesh(), build(config.model)
  # At least two folds a device: XLA drops a loop of one and rounds otherwise, and a fold's records
  # would depend on how many devices and neighbours it had.
  size = parallel.padded(max(len(plan.chosen), 2 * mesh.size), mesh.size)

  def one_fold(params, inputs, shared):
    normaliser, clips = inputs
    return predict.predict(model, params, normaliser, shared.clips, clips)

  wants_valid = MEAN_SHIFT in config.study.arms
  length = plan.num_own + wants_valid * plan.num_valid
  clips = [np.concatenate([fold.own, fold.valid[:wants_valid * len(fold.valid)]])
           for fold in plan.chosen]
  inputs = [(pretrain.fold_inputs(corpus, fold, plan.num_valid).normaliser,
             batching.pad(indices, length).clips) for fold, indices in zip(plan.chosen, clips)]
  stacked = [parallel.shard(parallel.stack(trees, size), mesh)
             for trees in ([teacher.params for teacher in teachers], inputs)]
  predictions = parallel.fetch(parallel.over_folds(one_fold, mesh)(
      *stacked, parallel.replicate(pretrain.shared_corpus(corpus), mesh)))
  plain = []
  for fold, indices, row in zip(plan.chosen, clips, predictions):
    own, valid, _ = np.split(row, [len(fold.own), len(indices)])
    expect_finite(fold, BASELINE, own)
    plain.append(Plain(own, valid))
  return plain


def write_attention(corpus: Corpus, plan: Plan, config: ml_collections.ConfigDict, workdir: pathlib.Path,
                    teachers: Sequence[Pretrained]) -> None:
  """Writes `attention.json` of the first user's first draw, unless there is one already."""
  arm = arms.shown(set(config.study.arms) & set(arms.FINE_TUNED))
  if not config.study.attention or arm is None or (workdir / records.ATTENTION).exists():
    return
  session = UserSession(config, workdir, corpus, plan, plan.chosen[0], teachers[0])
  with Progress('looking at one clip', 1, 'clips') as progress:
    attention = session.drawn_attention(arm)
    progress.advance()
  if attention is not None:
    records.write_json(workdir / records.ATTENTION, attention)


def fold_trials(corpus: Corpus, fold: Fold, draws: Draws, config: ml_collections.ConfigDict,
                plain: Plain, personal: dict[Cell, np.ndarray]) -> Iterator[records.Trial]:
  """A fold's trials in the config's order of arms: in each draw all on the same query clips."""
  for arm in config.study.arms:
    for shots in [config.study.num_support] if arm == BASELINE else configuration.shots(config):
      if arm == BASELINE:
        rows = np.broadcast_to(plain.own, (len(draws.query), len(plain.own)))
      elif arm == MEAN_SHIFT:
        rows = shifted(corpus, fold, draws, plain, shots)
      else:
        rows = personal[Cell(arm, shots)]
      for number, (row, support, query) in enumerate(zip(rows, draws.support, draws.query)):
        assert not set(support) & set(query)
        clips = fold.own[query]
        yield records.Trial(
            user=fold.user, arm=arm, seed=fold.seed, draw=number, num_support=shots,
            clips=tuple(corpus.names[clip] for clip in clips), labels=corpus.labels[clips],
            predictions=row[query])


def shifted(corpus: Corpus, fold: Fold, draws: Draws, plain: Plain, shots: int) -> np.ndarray:
  """The baseline's predictions [R, k], shifted by each draw's support."""
  speakers = np.array(corpus.speakers)
  k = mean_shift.shrinkage(corpus.labels[fold.valid] - plain.valid, speakers[fold.valid])
  residuals = corpus.labels[fold.own] - plain.own
  return np.stack([plain.own + np.float32(mean_shift.shift(residuals[support[:shots]], k))
                   for support in draws.support])
