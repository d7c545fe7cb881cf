import numpy as np
import pytest
from makers import everything
from sklearn import linear_model

from configs import synthetic as synthetic_config
from persona_jax.data import loading, synthetic
from persona_jax.types import MODALITIES


def test_deterministic_and_extended_by_more_speakers():
  small, again, large = synthetic.make(3, 2, 8), synthetic.make(3, 2, 8), synthetic.make(3, 4, 8)
  n = len(small.names)
  assert small.names == again.names == large.names[:n]
  np.testing.assert_array_equal(small.clips.frames['audio'], again.clips.frames['audio'])
  np.testing.assert_array_equal(small.labels, large.labels[:n])
  vision = small.clips.frames['vision']
  np.testing.assert_array_equal(vision, large.clips.frames['vision'][: len(vision)])
  assert (synthetic.make(4, 2, 8).labels[:5] != small.labels[:5]).any()


def test_labels_have_mosis_grid_and_range():
  labels = synthetic.make(0, 10, 20).labels
  np.testing.assert_allclose(labels * 5, np.round(labels * 5), atol=1e-5)
  assert abs(labels).max() == 3 and (labels == 0).any()


def test_modalities_are_unaligned():
  lengths = synthetic.make(0, 3, 20).clips.lengths
  assert all(len(set(values)) > 3 for values in lengths.values())
  assert abs(np.corrcoef(lengths['audio'], lengths['vision'])[0, 1]) < 0.5


def test_personas_spread_as_the_formulas_say():
  """Between speakers 1.3^2 / 3 = .56 and 1.9 / 60 by chance; within 1.44 E g^2 + .36 = 1.9."""
  made = synthetic.make(0, 200, 60)
  speakers = np.array(made.speakers)
  own = [made.labels[speakers == speaker] for speaker in sorted(set(speakers))]
  assert np.var([labels.mean() for labels in own]) == pytest.approx(0.59, abs=0.1)
  assert np.mean([labels.var() for labels in own]) == pytest.approx(1.9, abs=0.25)
  assert max(abs(labels.mean()) for labels in own) < 2


def errors_of_users(seed):
  """[10, 3] MAE of the study's users: of a generalist, of it moved by five labels, of the oracle.

  The generalist is a ridge regression on the mean frame of each modality, fitted on the other 29
  speakers. It is moved by the mean residual of five clips and scored on the rest, over 20 draws.
  """
  made = synthetic.make(seed, 30, 32)  # as in configs/synthetic.py
  means = []
  for m in MODALITIES:
    frames = everything(made).sequences[m]  # zero where there is no frame
    means.append(frames.sum(axis=1) / made.clips.lengths[m][:, None])
  features, speakers = np.concatenate(means, axis=1), np.array(made.speakers)
  users = sorted(set(speakers), key=lambda speaker: (-(speakers == speaker).sum(), speaker))[:10]
  errors = []
  for rank, user in enumerate(users):
    own = speakers == user
    ridge = linear_model.RidgeCV(np.logspace(-2, 4, 13)).fit(features[~own], made.labels[~own])
    residual = made.labels[own] - ridge.predict(features[own]).clip(-3, 3)
    random = np.random.default_rng([seed, rank])
    for _ in range(20):
      support, query = np.split(random.permutation(len(residual)), [5])
      moved = residual[query] - residual[support].mean()
      errors.append(
        [
          abs(residual[query]).mean(),
          abs(moved).mean(),
          abs(made.labels[own] - made.oracle[own])[query].mean(),
        ]
      )
  return np.array(errors).reshape(10, 20, 3).mean(axis=1)


@pytest.mark.parametrize('seed', range(10))
def test_personas_are_worth_knowing_and_none_carries_the_mean(seed):
  generalist, moved, oracle = errors_of_users(seed).T
  assert 0.45 < oracle.mean() < 0.55
  assert 0.7 < generalist.mean() < 1.1
  assert generalist.max() < 2 * np.median(generalist)
  gain = generalist - moved
  assert gain.mean() - 2.26 * gain.std(ddof=1) / 10**0.5 > 0  # Student's t, 9 degrees of freedom
  assert oracle.mean() < moved.mean() - 0.1


def test_synthetic_takes_the_modalities_of_the_model():
  config = synthetic_config.get_config('smoke')
  config.model.modalities = ('language', 'vision')
  assert list(loading.load(config).clips.frames) == ['language', 'vision']


def test_the_oracle_by_hand():
  """Language alone, two steps of burst: strength .5 / .81, evidence .5 / .81 x (1.2 + .8)."""
  nothing = dict.fromkeys(MODALITIES, 0.0)
  persona = synthetic._Persona(0.3, 2.0, nothing, nothing | {'language': 0.5})
  directions = {
    m: synthetic._Directions(np.eye(width)[0], np.eye(width)[1])
    for m, width in synthetic.WIDTH.items()
  }
  sequences = {m: np.zeros((3, width)) for m, width in synthetic.WIDTH.items()}
  sequences['language'][:, 0] = [1.2, 0.8, 9]  # the last is outside of the burst
  bursts = dict.fromkeys(MODALITIES, np.zeros(3, bool)) | {'language': np.array([1, 1, 0], bool)}
  feeling = (0.5 / 0.81 * 2.0) / (1 / 1.44 + 2 * 0.25 / 0.81)
  predicted = synthetic._oracle(persona, sequences, bursts, directions)
  assert predicted == pytest.approx(0.3 + 2 * feeling)
