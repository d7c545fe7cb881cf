"""What teachers predict of their users: in one call or several, reused, and never of a fold unfit."""

import numpy as np
import pytest

from configs import synthetic
from persona_jax.data import loading
from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.runtime import parallel
from persona_jax.study import teacher_predictions
from persona_jax.training import memory, pretrain


@pytest.fixture(scope='module')
def config():
  config = synthetic.get_config('smoke')
  config.model.name = 'early_fusion'
  config.pretrain.num_epochs = 1
  return config


@pytest.fixture(scope='module')
def corpus(config):
  return loading.load(config)


def test_accelerators_predict_as_many_folds_as_memory_holds(
  config, corpus, tmp_path_factory, monkeypatch
):
  """With memory for one fold per device: three folds on two devices take two calls."""
  study = Study.plan(config, corpus, tmp_path_factory.mktemp('one'))
  teachers = pretrain.pretrain(study)
  together = teacher_predictions.predict_with_teacher(study, teachers)

  calls, predict = [], teacher_predictions._predict_folds
  monkeypatch.setattr(
    teacher_predictions,
    '_predict_folds',
    lambda study, folds, *rest: calls.append(len(folds)) or predict(study, folds, *rest),
  )
  monkeypatch.setattr(parallel, '_loops', lambda: False)
  each = memory.copy_bytes(teachers[0].params, corpus.clips, 1, config.model)
  monkeypatch.setattr(parallel, 'ACCELERATOR_BYTES', each)
  other = Study.plan(config, corpus, tmp_path_factory.mktemp('two'))
  apart = teacher_predictions.predict_with_teacher(other, teachers)
  assert calls == [2, 1]
  for ours, theirs in zip(apart, together, strict=True):
    np.testing.assert_allclose(ours.user_clips, theirs.user_clips, atol=1e-4)


@pytest.mark.parametrize('train_fraction', [0.99, 0.999])
def test_a_fold_without_validation_clips_is_refused(config, corpus, train_fraction, tmp_path):
  other = config.copy_and_resolve_references()
  other.pretrain.train_fraction = train_fraction
  with pytest.raises(UserError, match=f'no validation clip; lower .*train_fraction = {train_fraction}'):
    Study.plan(other, corpus, tmp_path)
