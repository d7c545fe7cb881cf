"""Where predictors come from: all speakers of a corpus, or the fold of a study."""

import functools
import pathlib
import shutil
from typing import Any

import numpy as np

from persona_jax import config as config_lib
from persona_jax import targets
from persona_jax.arms import NAMES
from persona_jax.data import feature_facts, loading
from persona_jax.data.fold_plan import plan_everybody
from persona_jax.data.folds import Fold
from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.evaluation import statistics
from persona_jax.model import predict
from persona_jax.model.build import build, expect_kernels_fit
from persona_jax.persona import arms, fit
from persona_jax.persona.arms import Priors
from persona_jax.predictor import newcomers
from persona_jax.predictor.predictor import Predictor
from persona_jax.reporting import provenance, results
from persona_jax.study import user_session, workdir
from persona_jax.training import pretrain
from persona_jax.training.pretrain import Pretrained
from persona_jax.types import Config, Params


def train(
  config: Config, folder: pathlib.Path | str, study: pathlib.Path | str | None = None
) -> Predictor:
  """Trains a predictor and saves it; a run that was stopped is continued.

  Validation is by speakers, whatever the config says: only speakers whom nothing is learned from
  show how new people differ.

  Args:
    config: the settings; of `config.study`, `num_support` alone matters, for the model card.
    folder: of the predictor, which must not exist yet.
    study: the workdir of a grouped study with the same settings. Its scores of held-out speakers
      become part of the model card.

  Raises:
    UserError: the config, the data or a folder is not as expected.
  """
  config, folder = config.copy_and_resolve_references(), pathlib.Path(folder)
  config.pretrain.validation, config.study.teachers = 'speakers', 1
  config_lib.validate(config)
  _expect_sentiment(config)
  if folder.exists():
    raise UserError(f'{folder}: exists; name a new folder for the predictor.')
  corpus = loading.load(config)
  held_out = None if study is None else _held_out(pathlib.Path(study), config)
  unfinished = folder.with_name(f'{folder.name}.training')
  plan = plan_everybody(corpus, config)
  feature_facts.expect_something_to_learn(corpus)
  whole = Study(config, corpus, plan, unfinished)
  expect_kernels_fit(config.model, corpus.clips.steps)
  (fold,) = plan.all
  speakers = np.array(corpus.speakers)
  fit.enough_speakers(speakers[fold.valid], 'validation')
  with workdir.lock(unfinished):
    workdir.expect_config_of_results(unfinished, config)
    workdir.expect_corpus_of_results(whole)
    workdir.initialize(whole)
    (teacher,) = pretrain.pretrain(whole)
    predictor = _predictor(whole, fold, teacher, dict(held_out=held_out))
    predictor.save(folder)
  shutil.rmtree(unfinished)
  return predictor


def of_fold(config: Config, study: pathlib.Path, name: str) -> Predictor:
  """The teacher of a study's fold, as a predictor for the people whom the fold holds out.

  Args:
    config: of the study.
    study: its workdir.
    name: of the fold, a folder in `checkpoints/teachers`.

  Raises:
    UserError: the study has no such fold, or it is not pre-trained yet.
  """
  _expect_sentiment(config)
  opened = user_session.opened(config, study)
  folds = {fold.name: fold for fold in opened.folds.of_all_teachers_of(opened.folds.all)}
  if name not in folds:
    raise UserError(f'{study}: no fold {name}; its folds are {", ".join(folds)}.')
  teacher = user_session.teacher_of(opened, folds[name])
  return _predictor(opened, folds[name], teacher, dict(fold=name))


def _expect_sentiment(config: Config) -> None:
  if (target := targets.of(config)).is_emotion:
    raise UserError(
      f"config.data.target = '{target.name}': predictors for new people predict sentiment alone; "
      'launch.study works with emotions.'
    )


def _predictor(study: Study, fold: Fold, teacher: Pretrained, more: dict[str, Any]) -> Predictor:
  """The predictor of a fold whose pre-training has ended."""
  config, clips = study.config, study.corpus.clips
  widths = {m: clips.widths[m] for m in config.model.modalities}
  priors, validated = _of_unseen(study, fold, teacher.params)
  facts = dict(
    widths=widths,
    steps={m: clips.steps[m] for m in widths},
    trained_on=_trained_on(study, fold, teacher),
    validated=validated,
    packages=workdir.environment()['packages'],
    data=provenance.plain(config.data),
    **more,
  )
  normaliser = study.normaliser(fold)
  return Predictor(config, teacher.params, normaliser, priors, widths, facts)


def _of_unseen(
  study: Study, fold: Fold, params: Params
) -> tuple[Priors | None, dict[str, Any] | None]:
  """How people differ, and the scores of the validation speakers.

  None where no speakers were kept to learn it from; scores are None too if they are too few.
  """
  if study.config.pretrain.validation != 'speakers':
    return None, None
  corpus = study.corpus
  predictions, read = predict.at_once(
    functools.partial(predict.predict_and_read, build(study.config.model)),
    params,
    corpus.clips,
    study.normaliser(fold),
    np.arange(len(corpus.names)),
    study.folds.buckets,
  )
  known = predictions, read, corpus.labels, np.array(corpus.speakers), fold.train, fold.valid
  return arms.fit(*known), newcomers.scores(*known, study.config.study.num_support)


def _trained_on(study: Study, fold: Fold, teacher: Pretrained) -> dict[str, Any]:
  speakers = np.array(study.corpus.speakers)
  return dict(
    num_train=len(fold.train),
    train_speakers=len(set(speakers[fold.train])),
    num_valid=len(fold.valid),
    valid_speakers=len(set(speakers[fold.valid])),
    validation=study.config.pretrain.validation,
    best_epoch=teacher.best_epoch,
    valid_mae=round(teacher.best_loss, 4),
  )


def _held_out(study: pathlib.Path, config: Config) -> dict[str, Any]:
  """The scores of held-out speakers in a study of the same settings.

  Raises:
    UserError: the study is of other settings, or is not grouped.
  """
  loaded = results.load([study])
  differing = {
    field: values
    for field, values in provenance.differing_fields(
      loaded.config, provenance.plain(config)
    ).items()
    if provenance.stage(field) == provenance.TRAINING and not field.startswith('study.')
  }
  if differing:
    field, (there, here) = next(iter(differing.items()))
    raise UserError(
      f'{study}: a study of other settings (config.{field} is {there} there and {here} here); name '
      'one of the same config.'
    )
  if not loaded.is_grouped:
    raise UserError(f'{study}: holds out single speakers; name a study of held-out groups.')
  scores = loaded.scores
  return dict(
    num_speakers=len(scores.users),
    num_support=loaded.num_support,
    mae={
      NAMES[arm]: round(float(statistics.mean_over_users(scores.values('mae', arm).table)), 4)
      for arm in newcomers.ARMS
      if arm in scores.arms
    },
  )
