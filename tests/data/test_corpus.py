"""The container: clips in a row, who has how many, and what changes its fingerprint."""

import dataclasses

import jax
import numpy as np
import pytest

from persona_jax.data import corpus as corpus_lib
from persona_jax.data.corpus import Corpus
from persona_jax.data.joining import join_clips
from persona_jax.runtime import parallel


def made(**fields) -> Corpus:
  """Three clips of two speakers; frames are 2 wide."""
  frames = [{'audio': np.full((steps, 2), steps, np.float32)} for steps in (1, 3, 2)]
  names, speakers = ('v[0]', 'v[1]', 'w[0]'), ('v', 'v', 'w')
  clips = join_clips(frames, {'audio': 2})
  corpus = Corpus(names, speakers, np.float32([0, 1, 2]), clips, left_out={}, notes=())
  return dataclasses.replace(corpus, **fields)


def test_clips_lie_one_behind_the_other():
  clips = join_clips(
    [{'audio': np.full((steps, 2), steps)} for steps in (1, 0, 3)], {'audio': 2}, np.float16
  )
  np.testing.assert_array_equal(clips.frames['audio'][:, 0], [1, 3, 3, 3])
  np.testing.assert_array_equal(clips.starts['audio'], [0, 1, 1])
  np.testing.assert_array_equal(clips.lengths['audio'], [1, 0, 3])
  assert clips.frames['audio'].dtype == np.float16
  assert clips.widths == {'audio': 2} and clips.steps == {'audio': 3}
  assert clips.at(np.array([0])).sequences['audio'].dtype == np.float32


@pytest.mark.cpus
def test_every_device_of_a_cpu_uses_the_frames_as_they_are():
  """So that a corpus takes its memory once. JAX copies what is not aligned."""
  frames = made().clips.frames['audio']
  laid = parallel.replicate(frames, parallel.fold_mesh())
  assert {shard.data.unsafe_buffer_pointer() for shard in laid.addressable_shards} == {
    frames.ctypes.data
  }


@pytest.mark.parametrize('on_device', [False, True])
def test_clips_are_padded_to_what_is_asked(on_device):
  clips = made().clips
  padded = (jax.device_put(clips) if on_device else clips).padded(np.array([2, 0]), {'audio': 4})
  np.testing.assert_array_equal(padded.masks['audio'], [[1, 1, 0, 0], [1, 0, 0, 0]])
  np.testing.assert_array_equal(
    padded.sequences['audio'][..., 0] * padded.masks['audio'], [[2, 2, 0, 0], [1, 0, 0, 0]]
  )


def test_every_clip_has_its_own_frames_in_their_order():
  clips = join_clips(
    [{'audio': np.array([[1.0], [2]])}, {'audio': np.array([[3.0], [4], [5]])}], {'audio': 1}
  )
  both = clips.at(np.array([1, 0])).sequences['audio'][..., 0]
  np.testing.assert_array_equal(both, [[3, 4, 5], [1, 2, 0]])
  np.testing.assert_array_equal(clips.rows('audio', np.array([1, 0]))[:, 0], [3, 4, 5, 1, 2])


def test_clips_are_padded_with_zeros_to_the_longest():
  clips = made().clips.at(np.arange(3))
  np.testing.assert_array_equal(clips.sequences['audio'][..., 0], [[1, 0, 0], [3, 3, 3], [2, 2, 0]])
  np.testing.assert_array_equal(clips.masks['audio'], [[1, 0, 0], [1, 1, 1], [1, 1, 0]])
  assert clips.sequences['audio'].dtype == np.float32
  shorter = made().clips.at(np.array([0]))
  assert shorter.sequences['audio'].shape == (1, 1, 2)
  nothing = join_clips([{'audio': np.ones((0, 2))}], {'audio': 2}).at(np.array([0]))
  assert nothing.sequences['audio'].shape == (1, 1, 2) and not nothing.masks['audio'].any()


def test_names_and_lengths_are_checked():
  with pytest.raises(AssertionError):
    made(names=('v[0]', 'v[0]', 'w[0]'))
  with pytest.raises(AssertionError):
    made(labels=np.zeros(2))


def test_users_come_by_clips_and_then_by_name():
  assert corpus_lib.users_by_clips(made()) == [('v', 2), ('w', 1)]
  assert corpus_lib.users_by_clips(made(speakers=('b', 'c', 'a'))) == [('a', 1), ('b', 1), ('c', 1)]


def test_a_fingerprint_names_the_part_that_differs():
  before = corpus_lib.fingerprint(made())
  assert before.keys() == {'clips', 'labels', 'audio'}
  assert corpus_lib.fingerprint(made(notes=('other words',))) == before

  def differing(corpus):
    after = corpus_lib.fingerprint(corpus)
    return {part for part in before if before[part] != after[part]}

  assert differing(made(speakers=('v', 'v', 'x'))) == {'clips'}
  assert differing(made(names=('v[0]', 'v[2]', 'w[0]'))) == {'clips'}
  assert differing(made(labels=np.float32([0, 1, 2.5]))) == {'labels'}
  other = made()
  other.clips.frames['audio'][3, 1] += 1
  assert differing(other) == {'audio'}
  other = made()
  other.clips.lengths['audio'][1] -= 1
  assert differing(other) == {'audio'}
