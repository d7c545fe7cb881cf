"""A study laid out as on accelerators, its folds and trials vmapped, gives what CPUs give."""

import numpy as np
import pytest

from persona_jax.data.study import Study
from persona_jax.model import build, products, softmax_attention
from persona_jax.runtime import parallel
from persona_jax.study.adaptation import StudyPersonaliser
from persona_jax.training import memory, pretrain

pytestmark = pytest.mark.cpus


@pytest.fixture(scope='module')
def config(config):
  config.model.update(name='early_fusion', num_layers=3)  # two of them scanned and recomputed
  return config


@pytest.fixture
def accelerators(monkeypatch):
  monkeypatch.setattr(parallel, '_loops', lambda: False)
  monkeypatch.setattr(softmax_attention, '_CHUNK_BYTES', {})
  monkeypatch.setattr(products, '_on_cpu', lambda: False)
  monkeypatch.setattr(build, '_build', build._build.__wrapped__)  # models not traced before
  monkeypatch.setattr(softmax_attention, '_ACCELERATOR_CHUNK_BYTES', 10**5)


def personalised(study, teachers):
  """{fold: {cell: [R, n]}}, and how many folds were done whenever some were."""
  done = []
  for results in StudyPersonaliser(study).run(teachers):
    done.append(len(results))
  return results, done


@pytest.fixture(scope='module')
def on_cpus(finished, teachers):
  return personalised(finished, teachers)[0]


@pytest.mark.parametrize('memory_for, expected_done', [(3 * 2, [0, 3]), (1, [0, 1, 2, 3])])
def test_personalising(
  memory_for, expected_done, on_cpus, accelerators, teachers, study, monkeypatch
):
  """Three users on two devices, of each two trials a device: with memory for all, or for one."""
  clips = study.corpus.clips
  each = memory.copy_bytes(teachers[0].params, clips.steps, clips.widths, 5, study.config.model)
  monkeypatch.setattr(parallel, 'learning_bytes', lambda: memory_for * each)
  results, done = personalised(study, teachers)
  assert done == expected_done
  assert results.keys() == on_cpus.keys() and len(results) == 3
  for name, cells in on_cpus.items():
    assert results[name].keys() == cells.keys()
    for cell, rows in cells.items():
      np.testing.assert_allclose(results[name][cell], rows, atol=1e-4, err_msg=f'{name} {cell}')


def test_pretraining(accelerators, teachers, study):
  for ours, theirs in zip(pretrain.pretrain(study), teachers, strict=True):
    np.testing.assert_allclose(ours.curves, theirs.curves, atol=1e-4)


def test_users_who_lack_more_trials_have_a_program_of_their_own(
  config, corpus, teachers, accelerators, tmp_path, monkeypatch
):
  """The first user is done but for two of four trials; each user is a group."""
  few, more = config.copy_and_resolve_references(), config.copy_and_resolve_references()
  few.study.update(folds=(0,), num_draws=1, arms=('fs_ua', 'fs_ua_kd'))
  more.study.update(num_draws=2, arms=('fs_ua', 'fs_ua_kd'))
  monkeypatch.setattr(parallel, 'learning_bytes', lambda: 1)
  personalised(Study.plan(few, corpus, tmp_path), teachers[:1])
  grown, done = personalised(Study.plan(more, corpus, tmp_path), teachers)
  assert done == [0, 1, 2, 3]
  at_once, _ = personalised(Study.plan(more, corpus, tmp_path / 'at once'), teachers)
  for name, cells in at_once.items():
    for cell, rows in cells.items():
      np.testing.assert_allclose(grown[name][cell], rows, atol=1e-5, err_msg=f'{name} {cell}')
