"""Clips that are brought to the devices for each call give the results of clips that lie there."""

import json

import numpy as np
import pytest
from makers import smallest_config, smallest_grouped

from persona_jax import files
from persona_jax.data import loading
from persona_jax.data.study import Study
from persona_jax.runtime import parallel, preemption
from persona_jax.study import leave_one_speaker_out, teacher_predictions
from persona_jax.training import group_feed
from persona_jax.training.feed import Feed


@pytest.fixture
def streamed(monkeypatch):
  """Devices without room for features, a few of which are brought at a time."""
  monkeypatch.setattr(parallel, 'feature_bytes', lambda: 0)
  monkeypatch.setattr(group_feed, '_STREAMED_STEPS', 2)
  monkeypatch.setattr(teacher_predictions, '_STREAMED_CLIPS', 7)


def test_what_is_fed_are_the_clips(streamed):
  config = smallest_config()
  config.pretrain.update(num_buckets=2, batch_size=8)
  corpus = loading.load(config)
  study = Study.plan(config, corpus, None)
  feed, chosen = Feed(corpus, study.folds.buckets, parallel.fold_mesh()), np.array([9, 4, 40, 4])
  shared, place = feed.of(chosen, [3, 2])
  assert feed.streams and shared.labels.shape == (5,)
  steps = corpus.clips.steps
  brought, there = shared.clips.padded(place(chosen), steps), corpus.clips.padded(chosen, steps)
  np.testing.assert_array_equal(brought.masks['language'], there.masks['language'])
  mask = there.masks['language'][..., None]
  np.testing.assert_array_equal(
    brought.sequences['language'] * mask, there.sequences['language'] * mask
  )
  np.testing.assert_array_equal(shared.labels[place(chosen)], corpus.labels[chosen])


def config_of(protocol):
  if protocol == 'grouped':
    config = smallest_grouped(arms=('baseline', 'calibrated', 'fs_ua_kd', 'bayes'), num_draws=2)
    config.study.controls = ('other',)
  else:
    config = smallest_config(arms=('baseline', 'mean_shift', 'fs_ua_kd'))
  config.study.folds, config.study.attention = (0, 1), False
  config.pretrain.update(num_buckets=2, batch_size=8)
  return config


@pytest.mark.parametrize('protocol', ['leave_one_out', 'grouped'])
def test_a_streamed_study_is_the_study(protocol, tmp_path, request, monkeypatch):
  """With an interruption in the middle of an epoch: training is the same to the last bit.

  Teachers predict fewer clips at a time, which rounds differently.
  """
  config = config_of(protocol)
  leave_one_speaker_out.run(config, tmp_path / 'there')
  request.getfixturevalue('streamed')
  asked = iter([False] * 3 + [True])
  with monkeypatch.context() as patch:
    patch.setattr(preemption, 'requested', lambda: next(asked))
    with pytest.raises(preemption.Preempted):
      leave_one_speaker_out.run(config, tmp_path / 'streamed')
  leave_one_speaker_out.run(config, tmp_path / 'streamed')
  there, other = tmp_path / 'there', tmp_path / 'streamed'
  assert (there / files.CURVES).read_bytes() == (other / files.CURVES).read_bytes()
  for mine, theirs in zip(records_of(there), records_of(other), strict=True):
    assert mine.keys() == theirs.keys()
    assert mine == pytest.approx(theirs, abs=1e-5)


def records_of(workdir):
  return [json.loads(line) for line in (workdir / files.RECORDS).read_text().splitlines()]
