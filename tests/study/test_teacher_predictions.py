import jax
import numpy as np

from persona_jax.data.study import Study
from persona_jax.model import predict
from persona_jax.model.build import build
from persona_jax.study.teacher_predictions import predict_with_teacher
from persona_jax.training import pretrain


def test_all_folds_predicted_in_one_call_are_each_predicted_alone(
  teachers, tmp_path, corpus, config
):
  shifting = config.copy_and_resolve_references()
  shifting.study.arms = ('baseline', 'mean_shift')  # which needs the validation clips as well
  study = Study.plan(shifting, corpus, tmp_path / 'one')
  together = predict_with_teacher(study, teachers)
  shared = jax.device_put(pretrain.shared_corpus(corpus))
  for fold, teacher, predictions in zip(study.folds.chosen, teachers, together, strict=True):
    for clips, ours in ((fold.user_clips, predictions.user_clips), (fold.valid, predictions.valid)):
      alone = predict.predict(
        build(config.model), teacher.params, study.normaliser(fold), shared.clips, clips
      )
      np.testing.assert_allclose(ours, alone, atol=1e-5)
  without_valid = predict_with_teacher(Study.plan(config, corpus, tmp_path / 'two'), teachers)
  for whole, without in zip(together, without_valid, strict=True):
    np.testing.assert_allclose(without.user_clips, whole.user_clips, atol=1e-5)
    assert not len(without.valid)
