"""What a corpus holds, and what each way of holding out speakers asks of it."""

import dataclasses

import numpy as np
from makers import corpus_of, write_corpus, write_csd

from configs import mosi, synthetic
from persona_jax.data import feature_facts, inspection, loading
from persona_jax.data.inspection import Group


def inspected(config):
  return inspection.inspect(loading.load(feature_facts.uncut(config)), config)


def small(root, **fields):
  config = mosi.get_config()
  config.data.update(root=str(root), **write_corpus(root, {'va': 3, 'vb': 2, 'vc': 4}))
  config.data.update(fields)
  return config


def spans(*starts):
  return np.array(starts, float)[:, None] + [0.0, 2.0]


def test_every_clip_is_counted_once(tmp_path):
  """Of six clips two have no usable label or interval, one lacks vision, one everything."""
  config = small(tmp_path)
  labels = np.array([[1.0], [np.nan], [2.0], [-1.2], [np.nan], [0.4]])
  times = spans(0, 2, 4, 0, 2, 98)
  times[2, 1] = 3
  write_csd(
    tmp_path / 'y.csd', {'va': (labels[:3], times[:3]), 'vc': (labels[3:], times[3:])}, 'Labels'
  )
  write_csd(tmp_path / 'facet.csd', {'va': (np.ones((6, 2)), spans(*range(6)))}, 'FACET')
  found = inspected(config)
  assert (found.clips_found, found.clips_matched) == (6, 1)
  assert found.masked == (Group('no frame of vision', 1, ('vc[0]',)),)
  assert found.left_out == (
    Group('its label is nan', 2, ('va[1]', 'vc[1]')),
    Group('its interval […, …] is not one', 1, ('va[2]',)),
    Group('no modality has a frame in its interval', 1, ('vc[2]',)),
  )
  assert found.labels == {-1: 1, 0: 0, 1: 1} and found.num_labels == 2
  assert found.files['vision'].root == 'FACET' and found.files['vision'].num_labelled == 1
  assert found.corpus_like is None and found.speakers == {'va': 1, 'vc': 1}


def test_clips_left_out_for_a_modality_are_grouped(tmp_path):
  config = small(tmp_path, missing='drop')
  write_csd(tmp_path / 'facet.csd', {'va': (np.ones((6, 2)), spans(*range(6)))})
  (group,) = inspected(config).left_out
  assert group.count == 6 and group.first == ('vb[0]', 'vb[1]', *(f'vc[{i}]' for i in range(4)))
  assert group.what == 'no frame of vision (config.data.missing is "drop")'


def test_long_clips_are_seen_before_they_are_cut(tmp_path):
  """12.5 frames a second over 2 s are 25, of which 10 remain."""
  config = small(tmp_path)
  config.data.max_steps.audio = 10
  found = inspected(config)
  audio = found.modalities['audio']
  assert (audio.lengths[100], audio.clips_cut, audio.frames_cut) == (25, 9, 9 * 15)
  assert inspection.steps(found) == {'language': 4, 'audio': 10, 'vision': 30}


def test_features_of_whole_clips_are_told(tmp_path):
  config = small(tmp_path)
  write_csd(
    tmp_path / 'facet.csd',
    {video: (np.ones((n, 2)), spans(*range(0, 2 * n, 2))) for video, n in dict(va=3, vb=2).items()},
  )
  (sentence,) = inspected(config).mixtures
  assert sentence.startswith('vision: one frame per clip') and 'audio (median 25)' in sentence


def labelled(counts):
  corpus = corpus_of(counts)
  return dataclasses.replace(corpus, labels=np.arange(len(corpus.names), dtype=np.float32) % 3)


def test_both_protocols_say_who_has_enough_clips():
  """Five clips to learn from: one more to score for a single speaker, five more in a group."""
  config = synthetic.get_config()
  config.study.update(num_users=3, num_groups=2, num_support=5)
  found = inspection.inspect(labelled(dict(a=12, b=10, c=9, d=6, e=5)), config)
  single, grouped = found.protocols['leave_one_out'], found.protocols['grouped']
  assert (single.clips_needed, single.asked.count, single.enough) == (6, 3, 3)
  assert single.asked.first == ('a (12)', 'b (10)', 'c (9)') and not single.too_few.count
  assert (grouped.clips_needed, grouped.asked.count, grouped.enough) == (10, 5, 2)
  assert grouped.too_few.first == ('c (9)', 'd (6)', 'e (5)')
  assert single.problem is None and grouped.problem is None
  config.study.update(shots=(5, 9))
  single = inspection.inspect(labelled(dict(a=12, b=10, c=9, d=6)), config).protocols
  assert single['leave_one_out'].clips_needed == 10
  assert single['leave_one_out'].too_few == Group('fewer than 10 clips', 1, ('c (9)',))


def test_too_few_speakers_are_told_of_each_protocol():
  config = synthetic.get_config()
  config.study.update(num_users=3, num_groups=2)
  protocols = inspection.inspect(labelled(dict(a=12, b=10)), config).protocols
  assert (
    'has 2 speakers, too few for config.study.num_users = 3' in protocols['leave_one_out'].problem
  )
  assert protocols['grouped'].problem is None
