"""A study knows its folds' normalisers, draws and folders."""

import numpy as np
import pytest
from makers import smallest_config

from persona_jax.data import loading, normalize
from persona_jax.data.study import Study
from persona_jax.errors import UserError


@pytest.fixture
def study(tmp_path):
  config = smallest_config(num_users=2)
  config.normalise.modalities = ('language',)
  return Study.plan(config, loading.load(config), tmp_path / 'run')


def test_a_plan_writes_nothing_and_knows_where_things_will_be(study, tmp_path):
  first, second = study.folds.chosen
  assert study.checkpoints == tmp_path / 'run' / 'checkpoints'
  assert study.teacher_folder(first) != study.teacher_folder(second)
  assert study.teacher_folder(first).parent == study.checkpoints / 'teachers'
  assert not (tmp_path / 'run').exists()


def test_a_fold_is_normalised_by_its_own_training_clips_and_fitted_once(study, monkeypatch):
  fitted, fit = [], normalize.fit
  monkeypatch.setattr(normalize, 'fit', lambda *args: fitted.append(args[1]) or fit(*args))
  first, second = study.folds.chosen
  ours = study.normaliser(first)
  assert study.normaliser(first) is ours and study.normaliser(second) is not ours
  np.testing.assert_array_equal(fitted[0], first.train)
  np.testing.assert_array_equal(fitted[1], second.train)
  assert len(fitted) == 2
  clips = study.corpus.clips.at(first.train)
  frames, seen = clips.sequences['language'], clips.masks['language']
  np.testing.assert_allclose(ours.mean['language'], frames[seen].mean(axis=0), rtol=1e-4, atol=1e-6)


def test_draws_have_the_most_shots_of_the_config(study):
  study.config.study.shots = (2, 5, 7)
  case = study.folds.cases[0]
  draws = study.draws(case)
  assert draws.support.shape == (2, 7)
  assert draws.query.shape == (2, len(case.user.clips) - 7)
  study.config.study.update(shots=(5, 99), num_support=5)
  with pytest.raises(UserError, match=f'user {case.user.name} has .* too few for 99 support'):
    study.draws(case)
