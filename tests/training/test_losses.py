import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from persona_jax.errors import UserError
from persona_jax.training import losses


def test_l1_ignores_padding():
  loss = losses.l1(jnp.array([1.0, 2.0, 9.0]), jnp.array([0.0, 4.0, 0.0]), jnp.array([1.0, 1, 0]))
  assert loss == 1.5  # (1 + 2) / 2


def loss_of(name, predictions, labels, teacher, label_weight, weights=None, temperature=1.0):
  weights = jnp.ones(len(labels)) if weights is None else jnp.array(weights)
  return losses.distillation_loss(
    jnp.array(predictions)[:, None],
    jnp.array(labels),
    jnp.array(teacher),
    weights,
    jnp.float32(label_weight),
    losses.DISTILLATIONS[name],
    temperature,
  )


def test_labels_and_teacher_are_weighed_by_hand():
  case = dict(predictions=[1.0, 0.0], labels=[2.0, 2.0], teacher=[0.0, 0.5])
  # to the labels (1 + 2) / 2 = 1.5, to the teacher (1 + 0.5) / 2 = 0.75
  np.testing.assert_allclose(
    loss_of('l1', **case, label_weight=0.6), 0.4 * 0.75 + 0.6 * 1.5, rtol=1e-6
  )
  assert loss_of('l1', **case, label_weight=1) == 1.5
  assert loss_of('l1', **case, label_weight=1, weights=[0, 1]) == 2  # padding does not count


def test_a_distillation_token_learns_from_the_teacher_alone():
  scores = jnp.array([[1.0, 0.25], [0.0, 1.0]])  # of the user's token, of the distillation token
  loss = losses.distillation_loss(
    scores,
    jnp.array([2.0, 2.0]),
    jnp.array([0.0, 0.5]),
    jnp.ones(2),
    jnp.float32(0.6),
    losses.DISTILLATIONS['l1'],
    1.0,
  )
  np.testing.assert_allclose(loss, 0.4 * (0.25 + 0.5) / 2 + 0.6 * (1 + 2) / 2, rtol=1e-6)


@pytest.mark.parametrize(
  'name, expected', [('l1', (2 + 0.5) / 2), ('mse', (4 + 0.25) / 2), ('huber', (1.5 + 0.125) / 2)]
)
def test_distances_by_hand(name, expected):
  """Two away and half away."""
  assert loss_of(name, [1.0, 0.0], [0.0, 0.0], [-1.0, 0.5], 0) == expected


@pytest.mark.parametrize('name, turned', [('cross_entropy', False), ('kl', True)])
@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_divergences_over_classes_by_hand(name, turned, temperature):
  student, teacher = 1.5, -0.25

  def classes(score):
    weights = [math.exp(-((score - c) ** 2) / (2 * temperature)) for c in range(-3, 4)]
    return [weight / sum(weights) for weight in weights]

  first, second = classes(teacher), classes(student)
  if turned:
    first, second = second, first
  divergence = sum(p * math.log(p / q) for p, q in zip(first, second, strict=True))
  loss = loss_of(name, [student], [0.0], [teacher], 0, temperature=temperature)
  np.testing.assert_allclose(loss, temperature**2 * divergence, rtol=1e-5)


def test_near_neutral_a_divergence_is_that_of_two_gaussians():
  """KL of unit Gaussians 0.2 apart is 0.2^2 / 2."""
  for name in ('cross_entropy', 'kl'):
    np.testing.assert_allclose(loss_of(name, [0.1], [0.0], [-0.1], 0), 0.02, rtol=0.02)


@pytest.mark.parametrize('name', losses.DISTILLATIONS)
def test_a_student_like_the_teacher_feels_no_distillation(name):
  teacher = jnp.array([0.3, -1.0])
  for student in (
    teacher,
    teacher + jnp.array([1e-7, -1e-7]),
  ):  # the same, and the same but rounded
    loss, gradient = jax.value_and_grad(
      lambda student: losses.DISTILLATIONS[name](student, teacher, 2.0).sum()
    )(student)
    assert loss < 4e-7
    np.testing.assert_array_equal(gradient, [0, 0])


@pytest.mark.parametrize('name', losses.DISTILLATIONS)
def test_distillation_pulls_towards_the_teacher(name):
  """And its gradient is that of its value."""
  teacher, student = jnp.array([0.3, -1.0, 2.0]), jnp.array([0.9, -2.5, 0.1])

  def total(student):
    return losses.DISTILLATIONS[name](student, teacher, 2.0).sum()

  gradient = jax.grad(total)(student)
  np.testing.assert_array_equal(jnp.sign(gradient), jnp.sign(student - teacher))
  step = 1e-2 * jnp.eye(3)
  numeric = [(total(student + s) - total(student - s)) / 2e-2 for s in step]
  np.testing.assert_allclose(gradient, numeric, atol=2e-3)


def test_gradient_is_the_sign_elsewhere():
  gradient = jax.grad(lambda x: losses.absolute(x).sum())(jnp.array([-2.0, -1e-3, 0.0, 1e-3, 5.0]))
  np.testing.assert_array_equal(gradient, [-1, -1, 0, 1, 1])


def test_an_unknown_distillation_is_explained():
  assert losses.distillation('kl') is losses.DISTILLATIONS['kl']
  with pytest.raises(
    UserError, match="config.adapt.distillation = 'hints': expected one of l1, mse"
  ):
    losses.distillation('hints')
