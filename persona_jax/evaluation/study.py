"""The leave-one-speaker-out study: pre-train, personalise, predict, record, report."""

import contextlib
import math
import pathlib
import time
from typing import Iterator, NamedTuple, Sequence

import ml_collections
import numpy as np

from persona_jax import config as configuration
from persona_jax import arms, parallel, workdir as work
from persona_jax.arms import BASELINE, MEAN_SHIFT
from persona_jax.data import batching, corpus as data_corpus
from persona_jax.data.corpus import Corpus
from persona_jax.data.folds import Draws, Fold
from persona_jax.data.plan import Plan
from persona_jax.evaluation import mean_shift, predict
from persona_jax.evaluation.personal import UserSession
from persona_jax.evaluation.personalise import Cell, StudyPersonaliser, expect_finite
from persona_jax.model.build import build, expect_kernels_fit
from persona_jax.progress import Progress
from persona_jax.reporting import records, report
from persona_jax.tensorboard import epoch_log
from persona_jax.training import pretrain
from persona_jax.training.checkpoint import Checkpoints
from persona_jax.training.pretrain import Pretrained

PLAIN = 'plain'  # the stage between: what teachers predict


@contextlib.contextmanager
def opened(config: ml_collections.ConfigDict,
           workdir: pathlib.Path) -> Iterator[tuple[Corpus, Plan]]:
  """Holds the workdir as its one writer, with the corpus and folds it is about.

  Nothing is written before config, data and folds are known to work, and to go with what the folder
  already has: a study that could not start leaves nothing behind.

  Raises:
    UserError: the config, the folder or the data are not as expected.
  """
  configuration.validate(config)
  work.expect_free(workdir)
  _expect_same_config(workdir, config)
  corpus = data_corpus.load(config)
  plan = Plan(corpus, config, work.batches_begun(workdir))
  for fold in plan.chosen:
    plan.draws(fold)  # may refuse
  expect_kernels_fit(config.model, {m: x.shape[1] for m, x in corpus.clips.sequences.items()})
  build(config.model)  # checks the base model
  with work.held(workdir):
    _expect_same_config(workdir, config)  # another run may have begun it meanwhile
    if work.stages_done(workdir):
      work.expect_corpus(workdir, corpus)
    work.expect_no_less(workdir, config, plan)
    work.begin(workdir, config, corpus, plan)
    yield corpus, plan


def _expect_same_config(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
  """Of the stages that the folder has results of; what depends on no other may change."""
  if stages := work.stages_done(workdir):
    work.expect_config(workdir, config, stages)


def run(config: ml_collections.ConfigDict, workdir: pathlib.Path, tensorboard: bool = False) -> str:
  """Runs the whole study, or what a killed one left to do.

  Args:
    tensorboard: whether to log losses for TensorBoard.

  Returns:
    The report; nothing on a process that does not write.
  """
  with opened(config, workdir) as (corpus, plan):
    draws = [plan.draws(fold) for fold in plan.chosen]
    teachers = pretrain_folds(corpus, plan, config, workdir, tensorboard)
    plain = predict_plain(corpus, plan, config, workdir, teachers)
    recorder = _Recorder(workdir, plan)
    for results in StudyPersonaliser(corpus, plan, config, workdir, draws).run(teachers):
      for fold, fold_draws, unadapted in zip(plan.chosen, draws, plain):
        if fold.name in results and fold.name not in recorder.trials:
          recorder.trials[fold.name] = list(fold_trials(corpus, fold, fold_draws, config, unadapted,
                                                        results[fold.name]))
      recorder.write_if_due()
    recorder.write()
    if not parallel.writes():
      return ''
    write_attention(corpus, plan, config, workdir, teachers)
    return report.write([workdir], workdir)


class _Recorder:
  """Writes the records of a study under way: whole files, so that a reader never sees half a trial.

  Writing whole files after every user would take time by the square of the users. So a write waits
  until `_PATIENCE` times as long has passed as the one before took.

  Attributes:
    trials: {fold name: its trials}, of the folds that are done.
  """

  _PATIENCE = 10

  def __init__(self, workdir: pathlib.Path, plan: Plan):
    self.trials: dict[str, list[records.Trial]] = {}
    self._workdir, self._plan, self._written = workdir, plan, 0
    self._due = -math.inf

  def write_if_due(self) -> None:
    if time.monotonic() >= self._due:
      self.write()

  def write(self) -> None:
    """Writes what is new, in the study's order of folds."""
    if not parallel.writes() or len(self.trials) == self._written:
      return
    started = time.monotonic()
    records.write(self._workdir, [trial for fold in self._plan.chosen
                                  for trial in self.trials.get(fold.name, ())])
    self._written, now = len(self.trials), time.monotonic()
    self._due = now + self._PATIENCE * (now - started)


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


def predict_plain(corpus: Corpus, plan: Plan, config: ml_collections.ConfigDict, workdir: pathlib.Path,
                  teachers: Sequence[Pretrained]) -> list[Plain]:
  """Every fold's user predicted by the fold's teacher; what an earlier run predicted is read.

  So a fold's baseline stays the same to the last bit when users or arms are added to a study.
  """
  wants_valid = MEAN_SHIFT in config.study.arms
  saved = [_saved_plain(workdir, fold) for fold in plan.chosen]
  todo = [i for i, plain in enumerate(saved)
          if plain is None or wants_valid and not len(plain.valid)]
  if todo:
    folds = [plan.chosen[i] for i in todo]
    predicted = _predict_folds(corpus, plan, config, folds, [teachers[i] for i in todo], wants_valid)
    for i, fold, plain in zip(todo, folds, predicted):
      expect_finite(fold, BASELINE, plain.own)
      saved[i] = plain if saved[i] is None else plain._replace(own=saved[i].own)
      with Checkpoints(workdir, PLAIN, fold.name) as checkpoints:
        checkpoints.save(max(checkpoints.steps(), default=0) + 1, saved[i]._asdict())
  return saved


def _saved_plain(workdir: pathlib.Path, fold: Fold) -> Plain | None:
  with Checkpoints(workdir, PLAIN, fold.name) as checkpoints:
    found = checkpoints.newest()
  return None if found is None else Plain(**found[1])


def _predict_folds(corpus: Corpus, plan: Plan, config: ml_collections.ConfigDict, folds: Sequence[Fold],
                   teachers: Sequence[Pretrained], with_valid: bool) -> list[Plain]:
  """All of `folds` in one compiled call."""
  mesh, model = parallel.fold_mesh(), build(config.model)
  # At least two folds a device: XLA drops a loop of one and rounds otherwise, and a fold's records
  # would depend on how many devices and neighbours it had.
  size = parallel.padded(max(len(folds), 2 * mesh.size), mesh.size)

  def one_fold(params, inputs, shared):
    normaliser, clips = inputs
    return predict.predict(model, params, normaliser, shared.clips, clips)

  clips = [np.concatenate([fold.own, fold.valid]) if with_valid else fold.own for fold in folds]
  length = plan.num_own + with_valid * plan.num_valid
  inputs = [(pretrain.fold_inputs(corpus, plan, fold).normaliser,
             batching.pad(indices, length).clips) for fold, indices in zip(folds, clips)]
  stacked = [parallel.shard(parallel.stack(trees, size), mesh)
             for trees in ([teacher.params for teacher in teachers], inputs)]
  predictions = parallel.fetch(parallel.over_folds(one_fold, mesh)(
      *stacked, parallel.replicate(pretrain.shared_corpus(corpus), mesh)))
  return [Plain(row[:len(fold.own)], row[len(fold.own):len(indices)])
          for fold, indices, row in zip(folds, clips, predictions)]


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
  queries = []
  for support, query in zip(draws.support, draws.query):
    assert not set(support) & set(query)
    clips = fold.own[query]
    queries.append((query, tuple(corpus.names[clip] for clip in clips), corpus.labels[clips]))
  for arm in config.study.arms:
    for shots in [config.study.num_support] if arm == BASELINE else configuration.shots(config):
      if arm == BASELINE:
        rows = np.broadcast_to(plain.own, (len(draws.query), len(plain.own)))
      elif arm == MEAN_SHIFT:
        rows = shifted(corpus, fold, draws, plain, shots)
      else:
        rows = personal[Cell(arm, shots)]
      for number, (row, (query, names, labels)) in enumerate(zip(rows, queries)):
        yield records.Trial(user=fold.user, arm=arm, seed=fold.seed, draw=number, num_support=shots,
                            clips=names, labels=labels, predictions=row[query])


def shifted(corpus: Corpus, fold: Fold, draws: Draws, plain: Plain, shots: int) -> np.ndarray:
  """The baseline's predictions [R, k], shifted by each draw's support."""
  speakers = np.array(corpus.speakers)
  k = mean_shift.shrinkage(corpus.labels[fold.valid] - plain.valid, speakers[fold.valid])
  residuals = corpus.labels[fold.own] - plain.own
  return np.stack([plain.own + np.float32(mean_shift.shift(residuals[support[:shots]], k))
                   for support in draws.support])
