"""What the features of a corpus hold."""

import dataclasses

import numpy as np
import pytest

from configs import mosi, synthetic
from persona_jax.data import corpus as corpus_lib
from persona_jax.data import feature_facts
from persona_jax.data.corpus import Corpus
from persona_jax.data.joining import join_clips
from persona_jax.data.resample import Sampling
from persona_jax.errors import UserError


def corpus_of(*clips, labels=None, width=3):
  """A corpus of audio: of each clip, its frames."""
  frames = [{'audio': np.reshape(np.array(clip, np.float32), (-1, width))} for clip in clips]
  return Corpus(
    names=tuple(f'v[{place}]' for place in range(len(clips))),
    speakers=('v',) * len(clips),
    labels=np.arange(len(clips), dtype=np.float32) if labels is None else labels,
    clips=join_clips(frames, {'audio': width}),
    left_out={},
    notes=(),
    sampling={'audio': Sampling(100.0, 12.5, 0)},
  )


def test_facts_are_of_the_frames_that_exist():
  """Clips of 1, 0, 2 and 5 frames; the second column has one value, the third too but at zero."""
  corpus = corpus_of(
    [[1, 7, 0]], [], [[2, 7, 0], [3, 7, 0]], [[4, 7, 0], [0, 7, 0], [5, 7, 0], [6, 7, 0], [8, 7, 0]]
  )
  config = mosi.get_config()
  config.data.max_steps.audio = 2
  facts, lengths = feature_facts.of_modality(corpus, 'audio', config)
  assert lengths.tolist() == [1, 0, 2, 5]
  assert (facts.width, facts.num_frames, facts.num_without) == (3, 8, 1)
  assert facts.constant == (1, 2) and facts.num_zero == 0
  assert facts.lengths[50] == 2 and facts.lengths[100] == 5
  assert (facts.max_steps, facts.clips_cut, facts.frames_cut) == (2, 1, 3)
  assert (facts.file_rate, facts.rate) == (100.0, 12.5)


def test_frames_are_counted_across_batches(monkeypatch):
  monkeypatch.setattr(corpus_lib, '_AT_ONCE', 2)
  corpus = corpus_of([[0, 0, 0]], [[0, 1, 0]], [[0, 2, 0], [0, 0, 0]])
  facts, lengths = feature_facts.of_modality(corpus, 'audio', synthetic.get_config())
  assert lengths.tolist() == [1, 1, 2] and facts.num_zero == 2
  assert facts.constant == (0, 2) and facts.max_steps is None and facts.clips_cut == 0


def test_a_modality_without_any_frame_has_facts():
  facts, _ = feature_facts.of_modality(corpus_of([], []), 'audio', synthetic.get_config())
  assert (facts.num_frames, facts.num_without, facts.constant) == (0, 2, ())
  assert set(facts.lengths.values()) == {0.0}


def test_no_limit_on_the_length_of_clips():
  config = mosi.get_config()
  assert feature_facts.uncut(config).data.max_steps.vision > 10**6
  assert config.data.max_steps.vision == 500
  assert feature_facts.uncut(synthetic.get_config()) == synthetic.get_config()


def test_nothing_to_learn_is_told():
  corpus = corpus_of([[1, 2, 3]], [[4, 5, 6]])
  feature_facts.expect_something_to_learn(corpus)
  same = dataclasses.replace(corpus, labels=np.full(2, 1.5, np.float32))
  with pytest.raises(UserError, match='all 2 clips have the label 1.5, which leaves nothing'):
    feature_facts.expect_something_to_learn(same)
  with pytest.raises(UserError, match='none of the 2 clips has a frame of audio; name a file'):
    feature_facts.expect_something_to_learn(corpus_of([], []))
