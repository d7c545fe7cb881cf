import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from persona_jax.model.encoder import CrossmodalEncoder, DropoutRates
from persona_jax.model.layer_norm import LayerNorm, standardised


def test_is_layer_norm_and_so_are_its_gradients():
  random = np.random.default_rng(0)
  x, gradient = jnp.asarray(random.normal(2, 3, size=(2, 4, 5, 7)), jnp.float32)
  params = {'params': {'scale': jnp.linspace(-1, 2, 7), 'bias': jnp.linspace(0, 1, 7)}}
  theirs = nn.LayerNorm(epsilon=1e-5, use_fast_variance=False)

  got, pull = jax.vjp(lambda params, x: LayerNorm().apply(params, standardised(x)), params, x)
  expected, pull_theirs = jax.vjp(theirs.apply, params, x)
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    pull(gradient),
    pull_theirs(gradient),
  )


def test_parameters_are_those_of_flax():
  x, key = jnp.ones((3, 7)), jax.random.key(0)
  jax.tree.map(np.testing.assert_array_equal, LayerNorm().init(key, x), nn.LayerNorm().init(key, x))


def test_constant_features_are_finite():
  x = jnp.full((1, 4), 1e3)
  np.testing.assert_array_equal(standardised(x), jnp.zeros((1, 4)))
  assert jnp.isfinite(jax.grad(lambda x: standardised(x).sum())(x)).all()


def test_crossmodal_layers_share_what_is_standardised():
  """Of 4 roots, only those of what a layer computes are in the loop."""
  encoder = CrossmodalEncoder(num_layers=3, num_heads=1, rates=DropoutRates(0, 0, 0, 0))
  target, source = jnp.ones((1, 4, 6)), jnp.ones((1, 5, 6))
  masks = jnp.ones((1, 4), bool), jnp.ones((1, 5), bool)
  params = encoder.init(jax.random.key(0), target, source, *masks, False)
  traced = jax.make_jaxpr(lambda: encoder.apply(params, target, source, *masks, False))()
  (loop,) = (equation for equation in traced.jaxpr.eqns if equation.primitive.name == 'scan')
  assert str(loop).count('rsqrt') == 2  # before attention, before the feed-forward
  assert str(traced).count('rsqrt') == 4  # the source, and the encoder's result
