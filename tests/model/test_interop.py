"""Parity with the public PyTorch MulT, from numbers that it computed."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import parity_files
import pytest
from jax import lax
from traced import precisions

from persona_jax.errors import UserError
from persona_jax.model.interop import load_torch_mult


@pytest.fixture(
  scope='module', params=parity_files.SMALL + parity_files.LARGE, ids=lambda path: path.stem
)
def reference(request):
  return parity_files.read(request.param)


@pytest.fixture(scope='module')
def small():
  """Two layers, two heads, width 4; words, audio and vision are 7, 3 and 4 wide."""
  return parity_files.read(parity_files.SMALL[1])


def test_predictions_agree(reference):
  """Whatever is in the buffers of the state dict."""
  state = reference.parameters | reference.buffers
  predict = jax.jit(load_torch_mult(state, *reference.size))
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
    np.testing.assert_allclose(
      np.linalg.norm(gradients[name]), expected, rtol=1e-3, atol=1e-7, err_msg=name
    )


def test_products_are_exact(small):
  def loss_of(parameters):
    return load_torch_mult(parameters, *small.size)(*small.inputs).sum()

  assert precisions(jax.grad(loss_of), small.parameters) == {lax.Precision.HIGHEST}


@pytest.mark.skipif(
  not parity_files.LARGE,
  reason='the large files of the reference are not here: '
  f'the environment variable {parity_files.FOLDER_VARIABLE} names their folder',
)
def test_the_large_files_are_of_both_kinds():
  equal_lengths = {
    len({array.shape[1] for array in parity_files.read(path).inputs}) == 1
    for path in parity_files.LARGE
  }
  assert equal_lengths == {True, False}


def test_the_small_files_hold_what_is_easily_wrong():
  """Both stages' depths, a kernel longer than 1, no projection, frames that have no position."""
  aligned, unaligned = map(parity_files.read, parity_files.SMALL)
  assert aligned.size == (1, 2) and unaligned.size == (2, 2)
  assert [array.shape for array in aligned.inputs] == [(3, 6, 7), (3, 6, 3), (3, 6, 5)]
  assert [array.shape for array in unaligned.inputs] == [(3, 5, 7), (3, 11, 3), (3, 13, 4)]
  assert unaligned.parameters['proj_a.weight'].shape == (4, 3, 3)
  assert unaligned.gradient_norms['proj_v.weight'] == 0  # as wide as the model: not projected
  words, vision = aligned.inputs[0], unaligned.inputs[2]
  assert not words[1, -2:].any()  # projected without bias: 0 too
  assert vision[0, 5, 0] == 0 and vision[0, 5, 1:].all()


def refusal(parameters, num_layers=2, num_heads=2) -> str:
  with pytest.raises(UserError) as error:
    load_torch_mult(parameters, num_layers, num_heads)
  return str(error.value)


def test_wrong_parameters_are_named(small):
  name = 'trans_v_with_a.layers.1.fc1.weight'
  kernel = small.parameters[name]
  lacking = {other: value for other, value in small.parameters.items() if other != name}
  unfit = 'the parameters do not fit a MulT of this many layers; '
  assert refusal(lacking) == f'{unfit}missing: {name}'
  assert (
    refusal(lacking | {name: kernel.T}) == f'{unfit}misshapen: {name} (4, 16), expected (16, 4)'
  )
  assert (
    refusal(lacking | {'odd.weight': kernel}) == f'{unfit}missing: {name}; unexpected: odd.weight'
  )
  assert (
    refusal(small.parameters | {'proj_a.weight': np.zeros((5, 3, 3))})
    == f'{unfit}misshapen: proj_a.weight (5, 3, 3), expected (4, None, None)'
  )


def test_another_depth_is_told_by_what_is_missing_or_too_much(small):
  """A layer has 12 parameters: 6 crossmodal encoders lack a third, 3 of self-attention a fourth."""
  first = ', '.join(
    f'trans_l_with_a.layers.2.{leaf}'
    for leaf in (
      'self_attn.in_proj_weight',
      'self_attn.in_proj_bias',
      'self_attn.out_proj.weight',
      'self_attn.out_proj.bias',
      'fc1.weight',
      'fc1.bias',
      'fc2.weight',
      'fc2.bias',
    )
  )
  assert refusal(small.parameters, num_layers=4).endswith(
    f'; missing: {first} and {6 * 2 * 12 + 3 * 12 - 8} more'
  )
  message = refusal(small.parameters, num_layers=1)
  assert '; unexpected: trans_l_with_a.layers.1.' in message
  assert message.endswith(f' and {6 * 12 - 8} more')


def test_a_wrong_width_or_number_of_heads_is_told(small):
  assert refusal({}) == 'out_layer.weight is missing from the parameters.'
  assert (
    refusal({'out_layer.weight': np.zeros((2, 24))})
    == 'out_layer.weight has shape (2, 24), expected (1, 6 E).'
  )
  assert refusal(small.parameters, num_heads=3) == 'num_heads = 3 does not divide the width 4.'


@pytest.mark.parametrize(
  'modality, shape, problem',
  [
    (
      1,
      (3, 2, 3),
      'audio has 2 steps, fewer than the 3 that the kernel of proj_a.weight spans; '
      'pad it to at least 3.',
    ),
    (1, (3, 11, 4), 'audio is 4 wide, expected the 3 of proj_a.weight.'),
    (2, (3, 13, 5), 'vision is 5 wide, expected the 4 of proj_v.weight.'),
  ],
)
def test_frames_that_the_parameters_do_not_fit_are_named(small, modality, shape, problem):
  inputs = list(small.inputs)
  inputs[modality] = np.zeros(shape, np.float32)
  with pytest.raises(UserError, match=f'^{re.escape(problem)}$'):
    load_torch_mult(small.parameters, *small.size)(*inputs)


def test_buffers_are_two_of_each_encoder(small):
  assert len(small.buffers) == 2 * 9
  assert {name.rpartition('.')[2] for name in small.buffers} == {'version', '_float_tensor'}


def test_a_model_without_positions_is_refused(small):
  """MMSA's default: its state dict lacks the buffers of the positions."""
  versions = {name: value for name, value in small.buffers.items() if name.endswith('.version')}
  assert len(versions) == 9
  assert refusal(small.parameters | versions) == (
    'the parameters are of a MulT without positions, as MMSA trains it by default; train one with '
    'position_embedding=True, or with the public code.'
  )
