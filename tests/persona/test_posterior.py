"""The posterior of sentiment: by hand, by brute force, clip by clip, and for simulated people."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from people import BASE, PRIOR, labels_of, predictions_of

from persona_jax.persona import effects, posterior
from persona_jax.persona.effects import Effects
from persona_jax.persona.labels import GRID, LabelPrior
from persona_jax.persona.posterior import Prior

ASKED = np.float32([-2.0, 0.3, 1.7])
NUMBERS = st.floats(-3, 3, width=32)
CLIPS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12)

FEW = settings(deadline=None, max_examples=30)

sentiment = jax.jit(posterior.sentiment)
sentiments = jax.jit(jax.vmap(posterior.sentiment, (None, 0, 0)))  # of a batch of people
log_density = jax.jit(posterior.log_density)
summarised = jax.jit(posterior.summarised)
observe = jax.jit(posterior.observe)
observe_people = jax.jit(jax.vmap(posterior.observe))
coefficients = jax.jit(effects.posterior)


def observed(clips, chosen=False):
  """The person with (prediction, label) clips, padded so that one program serves all numbers."""
  padded = np.zeros((32, 2), np.float32)
  padded[: len(clips)] = np.reshape(clips, (-1, 2))
  return observe(*padded.T, np.float32(np.arange(32) < len(clips)), chosen)


def assert_same_person(first, second):
  found = (sentiment(PRIOR, person, ASKED) for person in (first, second))
  for one, other in zip(*found, strict=True):
    np.testing.assert_allclose(one, other, rtol=0, atol=5e-5)


def by_brute_force(clips, asked):
  """The density [num_points], summed over grids of the three unknowns theta, o and g."""

  def normal(x, mean, variance):
    return np.exp(-0.5 * (x - mean) ** 2 / variance) / variance**0.5

  a, b = PRIOR.expression.mean
  vo, vg = PRIOR.expression.variance
  theta, o, g = (
    np.linspace(-5, 5, 81) * deviation for deviation in (PRIOR.label.deviation, vo**0.5, vg**0.5)
  )
  o = o[:, None]
  tilted = BASE * np.exp(theta[:, None] * GRID)
  tilted /= tilted.sum(axis=1, keepdims=True)
  of_theta = normal(theta, 0, PRIOR.label.deviation**2)
  of_expression = normal(o, 0, vo) * normal(g, 0, vg)
  for f, y in clips:
    of_theta = of_theta * np.exp(theta * y) / (BASE * np.exp(theta[:, None] * GRID)).sum(axis=1)
    of_expression = of_expression * normal(f, a + o + (b + g) * y, PRIOR.expression.noise)
  y = GRID.astype(float)[:, None, None]
  density = (
    of_theta
    @ tilted
    * np.einsum(
      'og,yog->y', of_expression, normal(asked, a + o + (b + g) * y, PRIOR.expression.noise)
    )
  )
  return density / density.sum()


@pytest.mark.parametrize('clips', [[], [(1.0, 2.0)], [(-0.5, -2.5), (0.4, 1.0), (1.2, 3.0)]])
def test_density_is_that_of_brute_force(clips):
  density = jax.nn.softmax(log_density(PRIOR, observed(clips), ASKED))
  for row, asked in zip(density, ASKED, strict=True):
    np.testing.assert_allclose(row, by_brute_force(clips, asked), atol=3e-5)


def test_quantiles_by_hand():
  """Uniform over the 10 points above 0, whose cells extend from 0.05 to 1.05."""
  density = np.where((GRID > 0.01) & (GRID < 1.01), np.float32(1 / 10), 0)[None]
  for value, expected in zip(summarised(density), (0.55, 0.55, 0.1, 1.0), strict=True):
    np.testing.assert_allclose(value, expected, atol=1e-5)


def test_intervals_stay_within_the_labels():
  density = np.eye(len(GRID), dtype=np.float32)[[0, -1]]
  for value in summarised(density):
    np.testing.assert_allclose(value, [-3, 3], atol=0.051)
    assert (np.abs(value) <= 3).all()


def test_one_clip_by_hand():
  """A base on -1 and 1 only, no variation between people, f | y ~ N(y, 2): odds of 1 are exp(f)."""
  base = np.where(np.isclose(np.abs(GRID), 1), 0.5, 1e-12)
  prior = Prior(
    LabelPrior(np.log(base).astype(np.float32), np.float32(1e-3)),
    Effects(np.float32([0, 1]), np.float32([0, 0]), np.float32(2)),
  )
  found = sentiment(prior, observed([(0.7, 1.0)]), ASKED)
  np.testing.assert_allclose(found.mean, np.tanh(ASKED / 2), atol=2e-3)


def test_predictions_that_are_too_high_are_corrected():
  """A person whose predictions are 1 above the average person's at every label."""
  clips = [(0.09 + 0.6 * label, label) for label in (2.0, -2.0, 1.0, -1.0)]
  higher = [(prediction + 1, label) for prediction, label in clips]
  usual, corrected = (sentiment(PRIOR, observed(x), ASKED) for x in (clips, higher))
  assert (corrected.mean < usual.mean - 0.1).all()
  assert (corrected.median < usual.median - 0.1).all()


@FEW
@given(CLIPS, st.randoms(use_true_random=False))
def test_order_does_not_matter(clips, random):
  assert_same_person(observed(clips), observed(random.sample(clips, len(clips))))


@FEW
@given(CLIPS, CLIPS)
def test_clips_can_be_added_and_removed(first, second):
  added = effects.add(observed(first), observed(second))
  assert_same_person(added, observed(first + second))
  assert_same_person(effects.remove(added, observed(second)), observed(first))


@FEW
@given(st.lists(NUMBERS, min_size=1, max_size=12))
def test_chosen_clips_do_not_change_the_label_part(labels):
  """For chosen clips of an average person, the expression part only becomes more certain."""
  clips = [(0.09 + 0.6 * label, label) for label in labels]
  chosen = observed(clips, chosen=True)
  assert chosen.label == posterior.nobody().label
  learnt, nobody = (
    coefficients(PRIOR.expression, x.expression) for x in (chosen, posterior.nobody())
  )
  np.testing.assert_allclose(learnt.mean, nobody.mean, atol=1e-5)
  assert learnt.covariance[0, 0] < nobody.covariance[0, 0]


def test_single_clips_can_be_chosen():
  mixed = observe(ASKED, ASKED, np.ones(3, np.float32), np.array([True, False, True]))
  assert mixed.label == (1, ASKED[1]) and mixed.expression.count == 3


def test_a_batch_equals_its_rows():
  random = np.random.default_rng(0)
  clips = random.normal(size=(2, 5, 8)).astype(np.float32)  # predictions and labels of 5 people
  weights = np.ones((5, 8), np.float32)
  asked = random.normal(size=(5, 3)).astype(np.float32)
  together = sentiments(PRIOR, observe_people(*clips, weights), asked)
  for person in range(5):
    alone = sentiment(PRIOR, observe(*clips[:, person], weights[person]), asked[person])
    for row, expected in zip(together, alone, strict=True):
      np.testing.assert_allclose(row[person], expected, atol=1e-5)


def test_a_person_is_small():
  assert sum(leaf.nbytes for leaf in jax.tree.leaves(posterior.nobody())) < 4096


def test_intervals_cover_simulated_people():
  """Of 20,000 labels of 1,000 people drawn from the model, 90 % lie in the interval.

  Half of them are below the median.
  """
  random = np.random.default_rng(0)
  people, support = 1000, 5
  y = labels_of(random, people, support + 20)
  f = predictions_of(random, y)
  y = y + random.uniform(-0.05, 0.05, y.shape).astype(np.float32)  # uniform in the cell
  weights = np.ones((people, support), np.float32)
  state = observe_people(f[:, :support], y[:, :support], weights)
  found = sentiments(PRIOR, state, f[:, support:])
  inside = (found.lower <= y[:, support:]) & (y[:, support:] <= found.upper)
  assert np.mean(inside) == pytest.approx(0.9, abs=0.01)
  below = y[:, support:] < found.median
  assert np.mean(below) == pytest.approx(0.5, abs=0.02)


def test_extremes_stay_finite_in_float32():
  """With thousands of clips and extreme predictions, including the gradients."""
  many = jax.tree.map(lambda x: 5000 * x, observed([(3.0, -3.0), (-3.0, 3.0), (0.0, 0.0)]))

  @jax.jit
  @functools.partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
  def total(prior, asked):
    found = posterior.sentiment(prior, many, asked)
    return found.mean.sum() + found.median.sum(), found

  (_, found), slopes = total(PRIOR, np.float32([-1e3, 0, 1e3]))
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((found, slopes)))
  assert (np.abs(found.mean) <= 3).all()
  assert (found.lower <= found.median).all() and (found.median <= found.upper).all()
