import itertools

import numpy as np
import pytest

from persona_jax.evaluation import mean_shift


def test_shift_by_hand():
  assert mean_shift.shift(np.array([1.0, 0.5, 0.0, 1.0, 0.0]), 5.0) == pytest.approx(0.25)
  assert mean_shift.shift(np.array([1.0, 0.5]), np.inf) == 0


def test_shrinkage_by_hand():
  """Two speakers of two clips: within 4 / 2 = 2, between 2 * (4 + 4) = 16, so (16 - 2) / 2."""
  assert mean_shift.shrinkage(
    np.array([1.0, 5.0, 3.0, 7.0]), np.array(['a', 'b', 'a', 'b'])
  ) == pytest.approx(2 / 7)


def test_shrinkage_finds_the_ratio_of_variances():
  """200 speakers of 5 to 15 clips: offsets of variance 0.5, noise of variance 1."""
  random = np.random.default_rng(0)
  speakers = np.repeat(np.arange(200), random.integers(5, 16, 200))
  residuals = random.normal(0, 0.5**0.5, 200)[speakers] + random.normal(size=len(speakers))
  assert mean_shift.shrinkage(residuals, speakers) == pytest.approx(2, rel=0.25)


def test_speakers_that_do_not_differ_are_not_shifted():
  residuals = np.array([1.0, -1.0, 1.0, -1.0])
  assert mean_shift.shrinkage(residuals, np.array(['a', 'a', 'b', 'b'])) == np.inf
  assert mean_shift.shrinkage(residuals, np.array(['a'] * 4)) == np.inf


@pytest.mark.parametrize('num_clips, least', [(1, 1 / 2), (2, 1 / 3)])
def test_the_guess_is_the_best_linear_one(num_clips, least):
  """A speaker's offset is 1 or -1, a clip's noise 1 or -1, all as likely: k is 1 / 1.

  The best guess from one clip is 1 of a residual of 2, and 0 of one of 0: half the speakers are
  guessed exactly, the others missed by 1. From n clips it errs by 1 / (n + 1) in the mean square.
  """
  cases = [
    (offset, offset + np.array(noise))
    for offset in (1.0, -1.0)
    for noise in itertools.product((1, -1), repeat=num_clips)
  ]

  def error(k):
    return np.mean([(mean_shift.shift(residuals, k) - offset) ** 2 for offset, residuals in cases])

  assert error(1.0) == pytest.approx(least)
  for other in (0.0, 0.5, 2.0, np.inf):
    assert error(other) > least + 0.01
