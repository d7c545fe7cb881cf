"""What support sets are padded to, and that it changes no prediction."""

import makers
import numpy as np
import pytest

from persona_jax.data import buckets, loading
from persona_jax.data.study import Study
from persona_jax.runtime import parallel
from persona_jax.study import variants
from persona_jax.study.adaptation import StudyPersonaliser
from persona_jax.study.layout import Layout
from persona_jax.study.programs import Cell
from persona_jax.study.user_session import UserSession
from persona_jax.study.variants import Variant
from persona_jax.training import pretrain


def seconds(variant):
  return variant.shots * (1 + variant.bucket)


def test_a_variant_is_kept_if_it_saves_more_than_it_takes_to_compile():
  """Of 30 sets of one short clip, in the program of five long ones, 30 x (10 - 1) s are lost."""
  many, few = {Variant(1, 0): 30, Variant(5, 1): 8}, {Variant(1, 0): 2, Variant(5, 1): 8}
  assert 2 * 9 < buckets.COMPILE_S < 30 * 9
  assert variants.choose(many, seconds) == [Variant(5, 1), Variant(1, 0)]
  assert variants.choose(few, seconds) == [Variant(5, 1)]
  # A second program's calls are filled with 240 sets of one short clip.
  assert variants.choose(many, seconds, padding=241) == [Variant(5, 1)]


def test_there_is_a_variant_that_holds_everything():
  """The most shots are of short clips, and the longest clip is of a single shot."""
  counts = {Variant(1, 2): 1, Variant(5, 0): 1}
  assert variants.choose(counts, seconds) == [Variant(5, 2)]
  assert variants.holding([Variant(5, 2), Variant(5, 1)], Variant(1, 1), seconds) == Variant(5, 1)


def test_support_sets_have_lengths_of_their_own():
  """Sets of clips of 2 to 9 steps; a clip of 40 is in none, and has a length all the same."""
  of_clips = {'audio': np.array([40, 2, 9, 3, 4]), 'vision': np.array([1, 0, 0, 0, 0])}
  found = variants.lengths(of_clips, [np.array([1, 3]), np.array([4, 3]), np.array([2, 4])])
  assert [steps['audio'] for steps in found.steps] == [4, 9, 40]
  assert list(found.of_clip) == [2, 0, 1, 0, 0]
  assert [steps['vision'] for steps in found.steps] == [1, 1, 1]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  config = makers.smallest_config(arms=('baseline', 'fs_ua', 'fs_ua_kd'), shots=(2, 5))
  config.pretrain.update(num_buckets=3, batch_size=8)
  study = Study.plan(config, loading.load(config), tmp_path_factory.mktemp('run'))
  return study, pretrain.pretrain(study)


def personalised(study, teachers, workdir, compile_s, monkeypatch):
  """All results of the study in another folder, where a program costs so much to compile."""
  monkeypatch.setattr(buckets, 'COMPILE_S', compile_s)
  other = Study.plan(study.config, study.corpus, workdir)
  personaliser = StudyPersonaliser(other)
  *_, results = personaliser.run(teachers)
  return sum(map(len, personaliser._layout._variants.values())), results


def test_variants_change_no_prediction(trained, tmp_path, monkeypatch):
  study, teachers = trained
  assert len(study.folds.batches) == 3
  one, padded = personalised(study, teachers, tmp_path / 'one', 1e9, monkeypatch)
  several, exact = personalised(study, teachers, tmp_path / 'several', -1e9, monkeypatch)
  assert one == 1 and several >= 4
  for name, cells in padded.items():
    assert exact[name].keys() == cells.keys()
    for cell, rows in cells.items():
      np.testing.assert_allclose(exact[name][cell], rows, atol=1e-4, err_msg=f'{name} {cell}')
  case = study.folds.cases[0]
  session = UserSession(study, case, teachers[0])  # pads to the longest clip
  alone = session.predict(session.adapt(session.support_of_draw(0), 'fs_ua')).predictions
  np.testing.assert_allclose(exact[case.name][Cell('fs_ua', 5)][0], alone, atol=1e-4)


def test_accelerators_compile_fewer(trained, monkeypatch):
  """Where fine-tuning is faster, a program more saves less."""
  study, _ = trained
  monkeypatch.setattr(buckets, 'COMPILE_S', 5e-4)
  on_cpus = Layout(study)
  monkeypatch.setattr(parallel, '_loops', lambda: False)
  elsewhere = Layout(study)
  for name, several in on_cpus._variants.items():
    assert len(several) > len(elsewhere._variants[name]) == 1
