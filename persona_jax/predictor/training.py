"""Trains a predictor on all speakers of a corpus, for people who are not in it."""

import pathlib
import shutil
from typing import Any

import numpy as np

from persona_jax import config as config_lib
from persona_jax.arms import NAMES
from persona_jax.data import loading
from persona_jax.data.corpus import Corpus
from persona_jax.data.folds import plan_everybody
from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.evaluation import statistics
from persona_jax.model.build import expect_kernels_fit
from persona_jax.persona import arms, fit
from persona_jax.predictor.predictor import Predictor
from persona_jax.reporting import provenance, results
from persona_jax.study import teacher_predictions, workdir
from persona_jax.training import pretrain
from persona_jax.types import Config

_SHOWN = ('baseline', 'calibrated', 'bayes')  # what a predictor can do, without and with clips


def train(
  config: Config, folder: pathlib.Path | str, study: pathlib.Path | str | None = None
) -> Predictor:
  """Trains a predictor and saves it; a run that was stopped is continued.

  Validation is by speakers, whatever the config says: only speakers whom nothing is learned from
  show how new people differ.

  Args:
    config: the settings; those of `config.study` do not matter.
    folder: of the predictor, which must not exist yet.
    study: the workdir of a grouped study with the same settings. Its scores of held-out speakers
      become part of the model card.

  Raises:
    UserError: the config, the data or a folder is not as expected.
  """
  config, folder = config.copy_and_resolve_references(), pathlib.Path(folder)
  config.pretrain.validation, config.study.teachers = 'speakers', 1
  config_lib.validate(config)
  if folder.exists():
    raise UserError(f'{folder}: exists; name a new folder for the predictor.')
  corpus = loading.load(config)
  held_out = None if study is None else _held_out(pathlib.Path(study), config)
  unfinished = folder.with_name(f'{folder.name}.training')
  plan = plan_everybody(corpus, config)
  whole = Study(config, corpus, plan, unfinished)
  expect_kernels_fit(config.model, {m: x.shape[1] for m, x in corpus.clips.sequences.items()})
  (fold,) = plan.all
  speakers = np.array(corpus.speakers)
  fit.enough_speakers(speakers[fold.valid], 'validation')
  with workdir.lock(unfinished):
    workdir.expect_config_of_results(unfinished, config)
    workdir.expect_corpus_of_results(whole)
    workdir.initialize(whole)
    (teacher,) = pretrain.pretrain(whole)
    (reading,) = teacher_predictions.read_with_teacher(whole, [teacher])
    priors = arms.fit(
      reading.predictions, reading.read, corpus.labels, speakers, fold.train, fold.valid
    )
    widths = {m: corpus.clips.sequences[m].shape[2] for m in config.model.modalities}
    facts = dict(
      widths=widths,
      trained_on=_trained_on(corpus, fold, teacher),
      held_out=held_out,
      packages=workdir.environment()['packages'],
      data=provenance.plain(config.data),
    )
    predictor = Predictor(config, teacher.params, whole.normaliser(fold), priors, widths, facts)
    predictor.save(folder)
  shutil.rmtree(unfinished)
  return predictor


def _trained_on(corpus: Corpus, fold, teacher: pretrain.Pretrained) -> dict[str, Any]:
  speakers = np.array(corpus.speakers)
  return dict(
    num_train=len(fold.train),
    train_speakers=len(set(speakers[fold.train])),
    num_valid=len(fold.valid),
    valid_speakers=len(set(speakers[fold.valid])),
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
      for arm in _SHOWN
      if arm in scores.arms
    },
  )
