"""Parity with the public PyTorch MulT, from numbers that it computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from persona_jax.errors import UserError
from persona_jax.model.interop import load_torch_mult


class Reference:
  """One file of what the reference computed."""

  def __init__(self, path):
    with np.load(path) as file:
      content = dict(file)
    self.parameters = _strip(content, 'param/')
    self.gradient_norms = _strip(content, 'grad_norm/')
    self.inputs = [content[m] for m in ('language', 'audio', 'vision')]
    self.size = int(content['num_layers']), int(content['num_heads'])
    self.prediction, self.target = content['prediction'], content['target']
    self.loss = content['l1_loss']


def _strip(content, prefix):
  return {name[len(prefix):]: value for name, value in content.items() if name.startswith(prefix)}


@pytest.fixture(scope='module', params=[0, 1], ids=['aligned', 'unaligned'])
def reference(request, parity_files):
  return Reference(parity_files[request.param])


def test_predictions_agree(reference):
  predict = jax.jit(load_torch_mult(reference.parameters, *reference.size))
  predictions = predict(*reference.inputs)
  assert predictions.shape == reference.prediction.shape and predictions.dtype == np.float32
  assert np.abs(predictions - reference.prediction).max() < 1e-5


def test_every_gradient_norm_agrees(reference):
  def loss_of(parameters):
    predictions = load_torch_mult(parameters, *reference.size)(*reference.inputs)
    return jnp.abs(predictions[:, 0] - reference.target).mean()

  loss, gradients = jax.jit(jax.value_and_grad(loss_of))(reference.parameters)
  assert abs(loss - reference.loss) < 1e-5
  assert set(gradients) == set(reference.gradient_norms)
  for name, expected in reference.gradient_norms.items():
    np.testing.assert_allclose(np.linalg.norm(gradients[name]), expected, rtol=1e-3, err_msg=name)


def test_wrong_parameters_are_named(reference):
  parameters = dict(reference.parameters)
  kernel = parameters.pop('trans_v_with_a.layers.1.fc1.weight')
  with pytest.raises(UserError, match='missing: trans_v_with_a.layers.1.fc1.weight'):
    load_torch_mult(parameters, *reference.size)
  with pytest.raises(UserError, match=r'misshapen: trans_v_with_a.layers.1.fc1.weight \(30, 120\), '
                                      r'expected \(120, 30\)'):
    load_torch_mult(reference.parameters | {'trans_v_with_a.layers.1.fc1.weight': kernel.T},
                    *reference.size)
  with pytest.raises(UserError, match='unexpected: odd.weight'):
    load_torch_mult(reference.parameters | {'odd.weight': kernel}, *reference.size)
  with pytest.raises(UserError, match=r'missing: trans_l_with_a\.layers\.\d.* and \d+ more'):
    load_torch_mult(reference.parameters, 6, reference.size[1])
  with pytest.raises(UserError, match='out_layer.weight is missing'):
    load_torch_mult({}, *reference.size)


def test_buffers_are_no_parameters(reference):
  load_torch_mult(reference.parameters | {'trans_l_with_a.version': np.ones(1)}, *reference.size)
