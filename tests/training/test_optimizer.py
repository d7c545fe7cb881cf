import jax
import jax.numpy as jnp
import numpy as np
import pytest

from persona_jax import config as config_lib
from persona_jax.training import optimizer

PARAMS = {'adapter': {'a': jnp.zeros(2)}, 'base': {'b': {'c': jnp.zeros(3)}}}


def test_labels_cover_every_parameter():
  labels = optimizer.group_labels(PARAMS)
  assert labels == {'adapter': {'a': 'adapter'}, 'base': {'b': {'c': 'base'}}}
  with pytest.raises(ValueError, match='head'):
    optimizer.group_labels(PARAMS | {'head': jnp.zeros(1)})


def test_groups_have_their_own_learning_rates():
  """Adam's first step is the learning rate itself, whatever the gradient's size."""
  adam = optimizer.personalising(config_lib.paper().adapt)
  gradients = jax.tree.map(lambda x: jnp.full_like(x, 7.0), PARAMS)
  updates, _ = adam.update(gradients, adam.init(PARAMS), PARAMS)
  np.testing.assert_allclose(updates['adapter']['a'], [-1e-3] * 2, rtol=1e-4)
  np.testing.assert_allclose(updates['base']['b']['c'], [-1e-4] * 3, rtol=1e-4)


def test_rate_falls_after_patience_epochs_without_improvement():
  config = config_lib.paper().pretrain
  config.plateau_patience = 2
  plateau = optimizer.plateau(config)
  state, scales = plateau.init(PARAMS), []
  for loss in (1.0, 0.9, 0.95, 0.95, 0.95, 0.95):
    _, state = plateau.update((), state, value=jnp.float32(loss))
    scales.append(round(float(state.scale), 6))
  assert scales == [1, 1, 1, 1, 0.1, 0.1]  # the third bad epoch is one more than tolerated


def test_vectors_have_all_arrays_of_a_group_and_come_back():
  params = {
    'adapter': {'a': jnp.arange(2.0)},
    'base': {'b': {'c': jnp.arange(6.0).reshape(2, 3)}, 'd': jnp.float32(9)},
  }
  vectors, back = optimizer.vectors_and_back(params)
  np.testing.assert_array_equal(vectors['adapter'], [0, 1])
  np.testing.assert_array_equal(vectors['base'], [0, 1, 2, 3, 4, 5, 9])
  doubled = back(jax.tree.map(lambda x: 2 * x, vectors))
  jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, 2 * y), doubled, params)


def test_one_vector_per_group_is_the_same_adam():
  """As of every array by itself, but for the rounding of the norm."""
  adam = optimizer.pretraining(config_lib.paper().pretrain)
  random = np.random.default_rng(0)
  params = jax.tree.map(lambda x: jnp.asarray(random.normal(size=x.shape), jnp.float32), PARAMS)
  whole, parts = adam.init(params), adam.init(optimizer.vectors(params))
  for _ in range(3):
    gradients = jax.tree.map(lambda x: jnp.asarray(random.normal(size=x.shape)), PARAMS)
    vectors, back = optimizer.vectors_and_back(gradients)
    expected, whole = adam.update(gradients, whole)
    found, parts = adam.update(vectors, parts)
    jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-9), back(found), expected
    )
