"""The arms: which clips and numbers each depends on, and what it gives without clips."""

import jax
import numpy as np
import pytest
from people import PRIOR, labels_of, predictions_of

from persona_jax.errors import UserError
from persona_jax.persona import arms, effects
from persona_jax.persona.arms import BAYES, BAYES_KD, CALIBRATED, JOINT, LABEL_MEAN, RESIDUAL
from persona_jax.persona.labels import GRID

READ_WIDTH = 6
NUM_SPEAKERS, NUM_CLIPS = 40, 30
NUM_SUPPORT = 5  # of the held-out user's clips; the others are queries
SPEAKERS = np.repeat(np.arange(NUM_SPEAKERS), NUM_CLIPS)
TRAIN = np.flatnonzero(SPEAKERS < 15)
UNSEEN = np.flatnonzero((SPEAKERS >= 15) & (SPEAKERS < 35))


@pytest.fixture(scope='module')
def corpus():
  """Labels and predictions [NUM_SPEAKERS, NUM_CLIPS], and read [..., READ_WIDTH]."""
  random = np.random.default_rng(0)
  labels = labels_of(random, NUM_SPEAKERS, NUM_CLIPS)
  predictions = predictions_of(random, labels)
  read = random.normal(size=(NUM_SPEAKERS, NUM_CLIPS, READ_WIDTH)).astype(np.float32)
  return labels, predictions, read


def fitted(corpus, train=TRAIN, unseen=UNSEEN):
  labels, predictions, read = (x.reshape(len(SPEAKERS), *x.shape[2:]) for x in corpus)
  return arms.fit(predictions, read, labels, SPEAKERS, train, unseen)


@pytest.fixture(scope='module')
def priors(corpus):
  return fitted(corpus)


@pytest.fixture(scope='module')
def user(corpus):
  """A held-out user's support and query: (predictions, read, labels) each."""
  labels, predictions, read = corpus
  parts = predictions[-1], read[-1], labels[-1]
  return [part[:NUM_SUPPORT] for part in parts], [part[NUM_SUPPORT:] for part in parts]


@jax.jit
def observe(priors, predictions, read, labels, weights=None, **chosen):
  weights = np.ones(NUM_SUPPORT, np.float32) if weights is None else weights
  return arms.observe(priors, predictions, read, labels, weights, **chosen)


@jax.jit
def densities(priors, person, predictions, read, student):
  """{arm: density} of every arm, in one program."""
  return {arm: arms.density(arm, priors, person, predictions, read, student) for arm in arms.ARMS}


@jax.jit
def sentiments(priors, person, predictions, read, student):
  """{arm: sentiment} of every arm, in one program."""
  return {arm: arms.sentiment(arm, priors, person, predictions, read, student) for arm in arms.ARMS}


def densities_of(priors, person, user):
  """The densities of the user's query clips; the student predicts what the teacher does."""
  _, (predictions, read, _) = user
  return densities(priors, person, predictions, read, predictions)


def test_fit_recovers_the_prior(priors):
  assert priors.joint.label.deviation == pytest.approx(PRIOR.label.deviation, abs=0.15)
  np.testing.assert_allclose(priors.joint.expression.mean, PRIOR.expression.mean, atol=0.2)
  assert priors.joint.expression.noise == pytest.approx(PRIOR.expression.noise, rel=0.15)


def test_held_out_clips_are_not_used(corpus, priors):
  changed = [part.copy() for part in corpus]
  for part in changed:
    part[35:] = 2.5
  for one, other in zip(jax.tree.leaves(fitted(changed)), jax.tree.leaves(priors), strict=True):
    np.testing.assert_array_equal(one, other)


def test_without_unseen_speakers_the_error_names_the_setting(corpus):
  clips = np.arange(len(SPEAKERS))
  with pytest.raises(UserError, match="set config.pretrain.validation='speakers'"):
    fitted(corpus, clips[::2], clips[1::2])


def test_without_clips_arms_are_calibrated(priors, user):
  found = densities_of(priors, arms.nobody(priors), user)
  for arm in (LABEL_MEAN, JOINT, BAYES):
    np.testing.assert_allclose(found[arm], found[CALIBRATED], atol=1e-6)


def test_calibrated_ignores_the_persons_clips(priors, user):
  known, nobody = (
    densities_of(priors, person, user)[CALIBRATED]
    for person in (observe(priors, *user[0]), arms.nobody(priors))
  )
  np.testing.assert_array_equal(known, nobody)


def test_label_mean_depends_on_labels_only(priors, user):
  predictions, read, labels = user[0]
  one, other, up = (
    densities_of(priors, observe(priors, *support), user)[LABEL_MEAN]
    for support in (
      (predictions, read, labels),
      (predictions[::-1] + 1, read[::-1], labels),
      (predictions, read, labels + 1),
    )
  )
  np.testing.assert_array_equal(one, other)
  assert (up @ GRID > one @ GRID).all()


def test_only_the_expression_part_learns_from_chosen_clips(priors, user):
  nobody, random, chosen = (
    densities_of(priors, person, user)
    for person in (
      arms.nobody(priors),
      observe(priors, *user[0]),
      observe(priors, *user[0], chosen=True),
    )
  )
  for arm in (LABEL_MEAN, RESIDUAL):
    np.testing.assert_array_equal(chosen[arm], nobody[arm])
  # Chosen clips are no evidence for what is mixed with joint, which then has no weight.
  for arm in (BAYES, BAYES_KD):
    np.testing.assert_allclose(chosen[arm], chosen[JOINT], atol=1e-6)
  assert np.abs(chosen[JOINT] - nobody[CALIBRATED]).max() > 1e-4
  assert np.abs(chosen[JOINT] - random[JOINT]).max() > 1e-4


def test_mixtures_have_the_weighted_mean_of_both(priors, user):
  support, (predictions, read, _) = user
  student = predictions * 0.5 + 0.3
  found = sentiments(priors, observe(priors, *support), predictions, read, student)
  mean = {arm: found[arm].mean for arm in arms.ARMS}
  share = 0.5 * 5 / (5 + 2)  # of five clips
  np.testing.assert_allclose(
    mean[BAYES], (1 - share) * mean[JOINT] + share * mean[RESIDUAL], atol=1e-5
  )
  around = jax.jit(arms.around)(priors, student)
  np.testing.assert_allclose(
    mean[BAYES_KD], (1 - share) * mean[JOINT] + share * (around @ GRID), atol=1e-5
  )
  near = np.abs(student) < 0.5  # where the tails beyond the grid are negligible
  np.testing.assert_allclose((around @ GRID)[near], student[near], atol=0.02)


def test_a_mixture_with_a_student_needs_one(priors, user):
  _, (predictions, read, _) = user
  with pytest.raises(ValueError, match='bayes_kd needs'):
    arms.density(BAYES_KD, priors, arms.nobody(priors), predictions, read)


@pytest.fixture(scope='module')
def same_people(priors, user):
  """The person with five clips, and those who must equal it: reordered, added and removed."""
  support, _ = user

  def observed(places):
    padded = np.resize(places, NUM_SUPPORT)
    weights = np.float32(np.arange(NUM_SUPPORT) < len(places))
    return observe(priors, *(part[padded] for part in support), weights)

  added = effects.add(effects.add(observed([4, 2]), observed([0])), observed([3, 1]))
  left = effects.remove(effects.add(added, observed([0, 0, 3])), observed([3, 0, 0]))
  return observed([0, 1, 2, 3, 4]), [observed([3, 1, 4, 0, 2]), added, left]


@pytest.mark.parametrize('arm', arms.ARMS)
def test_clips_can_be_added_in_any_order_and_removed(priors, user, same_people, arm):
  _, (predictions, read, _) = user
  whole, others = same_people
  expected = sentiments(priors, whole, predictions, read, predictions)[arm]
  for person in others:
    found = sentiments(priors, person, predictions, read, predictions)[arm]
    for one, other in zip(found, expected, strict=True):
      np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_batch_of_draws_equals_its_draws(priors, corpus, user):
  labels, predictions, read = (part[-1] for part in corpus)
  _, (asked, asked_read, _) = user
  draws = np.random.default_rng(1).permuted(np.tile(np.arange(NUM_CLIPS), (4, 1)), axis=1)
  supports = [part[draws[:, :NUM_SUPPORT]] for part in (predictions, read, labels)]

  def bayes(support):
    person = arms.observe(priors, *support, np.ones(NUM_SUPPORT, np.float32))
    return arms.sentiment(BAYES, priors, person, asked, asked_read)

  together = jax.jit(jax.vmap(bayes))(supports)
  for draw in range(4):
    person = observe(priors, *(part[draw] for part in supports))
    alone = sentiments(priors, person, asked, asked_read, asked)[BAYES]
    for row, expected in zip(together, alone, strict=True):
      np.testing.assert_allclose(row[draw], expected, atol=1e-4)


def test_a_person_is_smaller_than_4_kb(priors):
  wide = arms.Person(arms.nobody(priors).joint, effects.no_evidence(22))
  assert sum(leaf.nbytes for leaf in jax.tree.leaves(wide)) < 4096
