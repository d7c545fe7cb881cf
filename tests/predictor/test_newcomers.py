"""What a predictor's card says of new people, on people whose habits are known."""

import numpy as np
import pytest

from persona_jax.persona import arms
from persona_jax.predictor import newcomers

NUM_SPEAKERS, NUM_CLIPS = 12, 20


def people_off_by_one():
  """Predictions are 1 too high for every second speaker, and 1 too low for the others."""
  random = np.random.default_rng(0)
  speakers = np.repeat([f's{number:02d}' for number in range(NUM_SPEAKERS)], NUM_CLIPS)
  labels = random.uniform(-2, 2, len(speakers)).astype(np.float32)
  off = np.where(np.repeat(np.arange(NUM_SPEAKERS), NUM_CLIPS) % 2, 1, -1)
  noise = random.normal(0, 0.1, (len(speakers), 4))
  predictions = (labels + off).astype(np.float32)
  clips = np.arange(len(speakers))
  train, valid = clips[: 4 * NUM_CLIPS], clips[4 * NUM_CLIPS :]
  return predictions, noise.astype(np.float32), labels, speakers, train, valid


def test_five_clips_show_by_how_much_a_person_is_off():
  found = newcomers.scores(*people_off_by_one(), num_support=5)
  assert found is not None and (found['num_speakers'], found['num_support']) == (8, 5)
  mae = found['mae']
  assert mae['Baseline'] == 1
  assert mae['Bayes'] < 0.5 < mae['Calibrated, no clips'] < 1.3


def test_how_people_differ_is_learned_from_the_other_speakers(monkeypatch):
  fitted, fit = [], arms.fit
  monkeypatch.setattr(arms, 'fit', lambda *of: fitted.append(of) or fit(*of))
  *arrays, speakers, train, valid = people_off_by_one()
  newcomers.scores(*arrays, speakers, train, valid, num_support=5)
  left_out = [set(speakers[valid]) - set(speakers[unseen]) for *_, unseen in fitted]
  assert [len(names) for names in left_out] == [2, 2, 2, 2]
  assert set.union(*left_out) == set(speakers[valid])


@pytest.mark.parametrize('num_clips, num_speakers', [(9, 8), (20, 5)])
def test_too_few_clips_or_speakers_are_not_scored(num_clips, num_speakers):
  """A speaker has five clips to learn from and five to predict, and four others to compare with."""
  *arrays, train, valid = people_off_by_one()
  kept = valid[valid % NUM_CLIPS < num_clips][: num_clips * num_speakers]
  assert newcomers.scores(*arrays, train, kept, num_support=5) is None
