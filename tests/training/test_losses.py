import jax
import jax.numpy as jnp
import numpy as np

from persona_jax.training import losses


def test_l1_ignores_padding():
  loss = losses.l1(jnp.array([1.0, 2.0, 9.0]), jnp.array([0.0, 4.0, 0.0]), jnp.array([1.0, 1, 0]))
  assert loss == 1.5  # (1 + 2) / 2


def test_distilled_l1_by_hand():
  predictions, labels, teacher = jnp.array([1.0, 0.0]), jnp.array([2.0, 2.0]), jnp.array([0.0, 0.5])
  # to the labels (1 + 2) / 2 = 1.5, to the teacher (1 + 0.5) / 2 = 0.75
  loss = losses.distilled_l1(predictions, labels, teacher, jnp.float32(0.6))
  np.testing.assert_allclose(loss, 0.4 * 0.75 + 0.6 * 1.5, rtol=1e-6)
  assert losses.distilled_l1(predictions, labels, teacher, jnp.float32(1)) == 1.5


def test_a_student_like_the_teacher_feels_no_distillation():
  teacher = jnp.array([0.3, -1.0])
  for student in (teacher, teacher + jnp.array([1e-7, -1e-7])):  # the same, and the same but rounded
    loss, gradient = jax.value_and_grad(losses.distilled_l1)(
        student, jnp.array([3.0, 3.0]), teacher, jnp.float32(0))
    assert loss < 2e-7
    np.testing.assert_array_equal(gradient, [0, 0])


def test_gradient_is_the_sign_elsewhere():
  gradient = jax.grad(lambda x: losses.absolute(x).sum())(jnp.array([-2.0, -1e-3, 0.0, 1e-3, 5.0]))
  np.testing.assert_array_equal(gradient, [-1, -1, 0, 1, 1])
