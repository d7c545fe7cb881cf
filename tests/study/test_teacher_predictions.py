"""What teachers predict of their users: in one call or several, each as if predicted alone."""

import functools

import numpy as np
import pytest
from makers import predicted

from persona_jax.data.study import Study
from persona_jax.model import predict
from persona_jax.model.build import build
from persona_jax.runtime import parallel
from persona_jax.study import teacher_predictions
from persona_jax.study.teacher_predictions import TeacherPredictor
from persona_jax.training import memory


@pytest.fixture(scope='module')
def shifting(tmp_path_factory, corpus, config):
  """A study with the mean shift, which needs the validation clips as well."""
  config = config.copy_and_resolve_references()
  config.study.arms = ('baseline', 'mean_shift')
  return Study.plan(config, corpus, tmp_path_factory.mktemp('shifting'))


@pytest.fixture(scope='module')
def together(shifting, teachers):
  return TeacherPredictor(shifting).predict(teachers)


def test_all_folds_predicted_in_one_call_are_each_predicted_alone(shifting, together, teachers):
  bound = functools.partial(predict.predict, build(shifting.config.model))
  for fold, teacher, predictions in zip(shifting.folds.chosen, teachers, together, strict=True):
    for clips, ours in ((fold.held_out, predictions.held_out), (fold.valid, predictions.valid)):
      alone = predicted(bound, teacher.params, shifting.normaliser(fold), shifting.corpus, clips)
      np.testing.assert_allclose(ours, alone, atol=1e-5)


def test_validation_clips_are_predicted_for_the_mean_shift_alone(
  together, teachers, tmp_path, corpus, config
):
  without_valid = TeacherPredictor(Study.plan(config, corpus, tmp_path)).predict(teachers)
  for whole, without in zip(together, without_valid, strict=True):
    np.testing.assert_allclose(without.held_out, whole.held_out, atol=1e-5)
    assert not len(without.valid)


@pytest.mark.cpus
def test_accelerators_predict_as_many_folds_as_memory_holds(
  together, teachers, shifting, tmp_path, monkeypatch
):
  """With memory for one fold per device: three folds on two devices take two calls."""
  calls, predict_folds = [], teacher_predictions._Program.__call__
  monkeypatch.setattr(
    teacher_predictions._Program,
    '__call__',
    lambda self, params, *rest: calls.append(len(params)) or predict_folds(self, params, *rest),
  )
  monkeypatch.setattr(parallel, '_loops', lambda: False)
  clips = shifting.corpus.clips
  each = memory.copy_bytes(teachers[0].params, clips.steps, clips.widths, 1, shifting.config.model)
  monkeypatch.setattr(parallel, 'learning_bytes', lambda: each)
  other = Study.plan(shifting.config, shifting.corpus, tmp_path)
  apart = TeacherPredictor(other).predict(teachers)
  assert calls == [2, 1]
  for ours, theirs in zip(apart, together, strict=True):
    np.testing.assert_allclose(ours.held_out, theirs.held_out, atol=1e-4)
