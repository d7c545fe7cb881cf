import numpy as np
import pytest

from persona_jax.data import resample


def spans_at(rate, seconds, start=0.0):
  """Frames one behind the other: [n, 2]."""
  starts = start + np.arange(round(seconds * rate)) / rate
  return np.stack([starts, starts + 1 / rate], axis=1)


def test_the_rate_is_that_of_most_frames():
  assert resample.rate_of(spans_at(100, 1)) == pytest.approx(100)
  gap = np.concatenate([spans_at(100, 1), spans_at(100, 1, start=9)])
  assert resample.rate_of(gap) == pytest.approx(100)
  assert resample.rate_of(spans_at(0.25, 4)) is None


@pytest.mark.parametrize(
  'file_rate, wanted, expected',
  [
    (100, 12.5, True),
    (30, 15, True),
    (12.5, 12.5, False),
    (13, 12.5, False),
    (0.25, 12.5, False),
    (100, None, False),
    (100, 0, False),
    (None, 12.5, False),
  ],
)
def test_only_what_is_faster_is_averaged(file_rate, wanted, expected):
  assert resample.is_faster(file_rate, wanted) is expected


def test_a_hundred_frames_a_second_become_means_of_eight():
  """Frame n has the value n: bins of 0.08 s have means 3.5, 11.5, 19.5, the rest 24.5."""
  spans = spans_at(100, 0.26)
  features = np.arange(26.0, dtype=np.float32)[:, None] * [1, -2]
  means = resample.average(features, spans, np.array([0, 0.26]), 12.5)
  np.testing.assert_allclose(means, np.array([[3.5], [11.5], [19.5], [24.5]]) * [1, -2])
  assert means.dtype == np.float32


def test_bins_begin_where_the_clip_does():
  """From 0.5 s on; the frames over its edges count where they are inside: 49 to 58 in the clip."""
  spans = spans_at(100, 1.0) + 0.005
  inside = slice(49, 59)
  means = resample.average(
    np.arange(100.0)[inside, None], spans[inside], np.array([0.5, 0.59]), 12.5
  )
  np.testing.assert_allclose(means[:, 0], [np.mean(range(49, 57)), np.mean([57, 58])])


def test_values_that_are_not_finite_are_left_out_of_their_columns_mean():
  features = np.array(
    [[1, 2], [np.nan, 4], [-np.inf, np.inf], [5, 6], [np.nan, 1], [np.nan, 2]], np.float32
  )
  means = resample.average(features, spans_at(30, 0.2), np.array([0, 0.2]), 10)
  np.testing.assert_array_equal(means, [[1, 3], [5, 3]])
  nothing = resample.average(features[4:, :1], spans_at(30, 1 / 15), np.array([0, 1 / 15]), 15)
  np.testing.assert_array_equal(nothing, [[np.nan]])


def test_a_gap_makes_no_step():
  spans = np.concatenate([spans_at(100, 0.08), spans_at(100, 0.08, start=0.8)])
  means = resample.average(np.arange(16.0)[:, None], spans, np.array([0, 1]), 12.5)
  np.testing.assert_allclose(means[:, 0], [3.5, 11.5])


def test_an_instant_is_one_step_and_nothing_is_none():
  frame = np.array([[0.0, 1.0]])
  assert resample.average(np.ones((1, 3)), frame, np.array([0.5, 0.5]), 12.5).shape == (1, 3)
  assert resample.average(np.ones((0, 3)), frame[:0], np.array([0, 1]), 12.5).shape == (0, 3)
