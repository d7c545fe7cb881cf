import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from persona_jax.model import products

SHAPES = pytest.mark.parametrize('num_inputs, num_outputs', [(3, 5), (5, 3), (4, 4)])


def arrays(num_inputs, num_outputs):
  random = np.random.default_rng(0)
  shapes = (2, 7, num_inputs), (num_inputs, num_outputs), (2, 7, num_outputs)
  return [jnp.asarray(random.normal(size=shape), jnp.float32) for shape in shapes]


@SHAPES
def test_product_and_gradients_are_those_of_matmul(num_inputs, num_outputs):
  inputs, kernel, gradient = arrays(num_inputs, num_outputs)
  mine, my_gradients = jax.vjp(products.matmul, inputs, kernel)
  theirs, their_gradients = jax.vjp(jnp.matmul, inputs, kernel)
  np.testing.assert_array_equal(mine, theirs)
  for got, expected in zip(my_gradients(gradient), their_gradients(gradient), strict=True):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.cpus
@SHAPES
def test_weight_gradients_are_rows_times_columns(num_inputs, num_outputs):
  """No product contracts rows of its left factor or columns of its right one once compiled."""
  inputs, kernel, gradient = arrays(num_inputs, num_outputs)

  def kernel_gradient(inputs, kernel, gradient):
    return jax.vjp(products.matmul, inputs, kernel)[1](gradient)[1]

  compiled = jax.jit(kernel_gradient).lower(inputs, kernel, gradient).compile().as_text()
  dots = [line for line in compiled.splitlines() if ' dot(' in line]
  assert dots
  for dot in dots:
    assert 'lhs_contracting_dims={1}' in dot and 'rhs_contracting_dims={0}' in dot, dot


def test_dense_layers_take_it():
  inputs, kernel, _ = arrays(3, 5)
  params = {'params': {'kernel': kernel, 'bias': jnp.ones(5)}}
  np.testing.assert_array_equal(
    nn.Dense(5, dot_general=products.dot_general).apply(params, inputs),
    nn.Dense(5).apply(params, inputs),
  )


def test_accelerators_have_their_own_gradients(monkeypatch):
  inputs, kernel, _ = arrays(3, 5)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert 'custom_vjp' not in str(jax.make_jaxpr(products.matmul)(inputs, kernel))


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
@pytest.mark.parametrize('num_steps', [1, 2, 3])
def test_convolutions_take_it(num_steps, padding):
  frames, kernel, _ = arrays(3, 5)
  params = {'params': {'kernel': jnp.stack([kernel * (i + 1) for i in range(num_steps)])}}
  layer = dict(features=5, kernel_size=(num_steps,), padding=padding, use_bias=False)
  mine = nn.Conv(**layer, conv_general_dilated=products.conv_general_dilated)
  np.testing.assert_allclose(
    mine.apply(params, frames), nn.Conv(**layer).apply(params, frames), rtol=1e-5, atol=1e-6
  )
