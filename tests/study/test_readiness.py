"""Corpora at the edge of what a study can use: they work, or are refused before any training."""

import jax
import jax.numpy as jnp
import numpy as np
import pooling
import pytest
from makers import MOSI_FILES, write_corpus, write_csd

from configs import mosi
from persona_jax.data import loading
from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.model import predict
from persona_jax.model.build import build
from persona_jax.predictor import training
from persona_jax.study import leave_one_speaker_out, readiness

FACET = 'facet.csd'


def config_of(root, clips_of, mode='smoke', **study):
  """A study of two users with five support clips, on files made for it."""
  config = mosi.get_config(mode)
  config.data.update(root=str(root), **write_corpus(root, clips_of))
  config.model.name = pooling.NAME
  config.study.update(dict(num_users=2, num_groups=2, num_support=5) | study)
  return config


def spans(count):
  return np.arange(count)[:, None] * 2.0 + [0, 2]


def refusal(config, workdir):
  """Why the study cannot run; `launch.check_data` says the same, and nothing is left behind."""
  with pytest.raises(UserError) as error:
    with leave_one_speaker_out.opened(config, workdir):
      pass
  assert not workdir.exists()
  assert readiness.inspect(config)[1] == str(error.value)
  return str(error.value)


ENOUGH = dict(va=12, vb=12, vc=12)


def test_enough_is_enough(tmp_path):
  for mode in ('smoke', 'grouped,smoke'):
    config = config_of(tmp_path, ENOUGH, mode)
    config.study.arms, config.pretrain.validation = ('baseline', 'fs_ua'), 'clips'
    found, problem = readiness.inspect(config)
    assert problem is None and found.clips_found == 36


def test_one_clip_is_refused(tmp_path):
  config = config_of(tmp_path, dict(va=1))
  assert 'the corpus has 1 speakers, too few for config.study.num_users = 2' in refusal(
    config, tmp_path / 'run'
  )
  assert readiness.inspect(config)[0].clips_found == 1
  with pytest.raises(UserError, match='the fold of everybody has'):
    training.train(config, tmp_path / 'predictor')
  assert not list(tmp_path.glob('predictor*'))


def test_a_speaker_with_fewer_clips_than_shots_is_named(tmp_path):
  config = config_of(tmp_path, dict(va=12, vb=4, vc=3))
  assert refusal(config, tmp_path / 'run') == (
    'user vb has 4 clips, too few for 5 support clips and a query clip; lower '
    'config.study.num_support and config.study.shots, or config.study.num_users.'
  )
  facts = readiness.inspect(config)[0].protocols['leave_one_out']
  assert facts.enough == 1 and facts.too_few.first == ('vb (4)',)


def test_a_group_without_a_user_of_enough_clips_is_refused(tmp_path):
  config = config_of(tmp_path, dict(va=9, vb=9, vc=3), 'grouped,smoke')
  assert 'no speaker has the 10 clips that a user of a grouped study needs' in refusal(
    config, tmp_path / 'run'
  )


def test_equal_labels_are_refused(tmp_path):
  config = config_of(tmp_path, ENOUGH)
  write_csd(tmp_path / 'y.csd', {v: (np.full((n, 1), -1.0), spans(n)) for v, n in ENOUGH.items()})
  told = 'all 36 clips have the label -1, which leaves nothing to learn'
  assert told in refusal(config, tmp_path / 'run')
  with pytest.raises(UserError, match=told):
    training.train(config, tmp_path / 'predictor')


def test_a_modality_that_no_clip_has_is_refused(tmp_path):
  config = config_of(tmp_path, ENOUGH)
  write_csd(tmp_path / FACET, {'another': (np.ones((3, 2)), spans(3))})
  assert 'none of the 36 clips has a frame of vision' in refusal(config, tmp_path / 'run')
  found, _ = readiness.inspect(config)
  assert found.masked[0].count == 36 and found.masked[0].what == 'no frame of vision'
  assert 'vision: facet.csd has 0 of the 3 labelled videos' in found.mixtures[0]
  config.model.modalities = ('language', 'audio')  # as the refusal advises
  assert readiness.inspect(config)[1] is None


def test_a_modality_without_a_file_is_refused(tmp_path):
  config = config_of(tmp_path, ENOUGH)
  (tmp_path / FACET).unlink()
  with pytest.raises(UserError, match='facet.csd: no such file; expected a .csd'):
    readiness.inspect(config)


def test_silence_is_learned_from_like_anything_else(tmp_path):
  """Audio that is 0 throughout is standardised to 0, and gradients stay finite."""
  config = config_of(tmp_path, ENOUGH)
  write_csd(tmp_path / 'covarep.csd', {v: (np.zeros((n, 4)), spans(n)) for v, n in ENOUGH.items()})
  found, problem = readiness.inspect(config)
  audio = found.modalities['audio']
  assert problem is None and audio.num_zero == audio.num_frames == 36
  assert audio.constant == (0, 1, 2, 3)
  corpus = loading.load(config)
  study = Study.plan(config, corpus, tmp_path)
  (fold, *_), model = study.folds.all, build(config.model)
  clips = predict.gather(corpus.clips, study.normaliser(fold), fold.train[:4], corpus.clips.steps)
  assert not np.asarray(clips.sequences['audio']).any()

  @jax.jit
  def gradients():
    variables = model.init(jax.random.key(0), clips)
    return jax.grad(lambda given: jnp.abs(model.apply(given, clips)).sum())(variables)

  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients()))


def test_real_mosi_suffices_for_both_protocols(mosi_root):
  config = mosi.get_config('grouped')
  config.data.update(root=str(mosi_root), **MOSI_FILES)
  found, problem = readiness.inspect(config)
  assert problem is None and found.corpus_like == 'CMU-MOSI'
  assert (found.clips_found, found.clips_matched) == (2199, 2199) and not found.left_out
  assert found.protocols['leave_one_out'].enough == 10
  assert found.protocols['grouped'].enough == 91
  language = found.modalities['language']
  assert (language.clips_cut, language.lengths[100]) == (16, 114)
  assert sum(found.labels.values()) == 2199 and len(found.speakers) == 93
  (sentence,) = found.mixtures
  assert sentence.startswith('audio, vision: one frame per clip')
