"""Weights of the public PyTorch MulT, run by our modules, number for number.

Names and layout are those of https://github.com/yaohungt/Multimodal-Transformer (and of MMSA's copy
of it), as `state_dict()` gives them.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from persona_jax.errors import UserError
from persona_jax.model.build import call
from persona_jax.model.encoder import DropoutRates
from persona_jax.model.mult import MIN_SELF_ATTENTION_LAYERS, MulT
from persona_jax.types import MODALITIES, Array

_BUFFERS = ('.version', '._float_tensor')  # saved with the state, but not parameters
_NAMED = 8  # how many parameters an error names of each kind
_LETTER = {modality: modality[0] for modality in MODALITIES}
_ENCODERS = {  # our name: the reference's
  f'{target}_from_{source}': f'trans_{_LETTER[target]}_with_{_LETTER[source]}'
  for target in MODALITIES
  for source in MODALITIES
  if source != target
}
_MEMORIES = {f'{m}_memory': f'trans_{_LETTER[m]}_mem' for m in MODALITIES}
_HEAD = {'expand': 'proj1', 'contract': 'proj2', 'score': 'out_layer'}


def load_torch_mult(
  parameters: Mapping[str, Array], num_layers: int, num_heads: int
) -> Callable[[Array, Array, Array], Array]:
  """Loads the reference's state dict, and returns its forward pass without dropout.

  The function computes what the reference computes: padding is attended to, attention is causal
  with an offset, a projected frame whose first channel is 0 has no position, and a modality that is
  already as wide as the model is not projected. It can be jitted, and differentiated with respect
  to `parameters` where those are traced.

  MMSA 2.2.1 trains MulT without positions unless told otherwise (`position_embedding` of its
  encoder). Such weights would give wrong results here. They can be recognised by the state dict's
  buffers alone, and are refused if it still has them.

  Args:
    parameters: {name: array}, all of them; the reference's buffers are passed over.
    num_layers: crossmodal layers; self-attention has max(num_layers, 3).
    num_heads: attention heads, a divisor of the width.

  Returns:
    A function (language [B, T_L, D_L], audio [B, T_A, D_A], vision [B, T_V, D_V]) -> [B, 1].

  Raises:
    UserError: naming the parameters that are missing, unexpected or misshapen; for weights trained
      without positions; and when called, for a modality of another width than theirs, or of fewer
      steps than its kernel spans.
  """
  _expect_positions(parameters)
  parameters = {
    name: jnp.asarray(value) for name, value in parameters.items() if not name.endswith(_BUFFERS)
  }
  width = _model_width(parameters)
  if width % num_heads:
    raise UserError(f'num_heads = {num_heads} does not divide the width {width}.')
  _check(parameters, _expected_shapes(width, num_layers))
  params = _to_flax(parameters, num_layers)
  mult = MulT(num_layers, num_heads, DropoutRates(0, 0, 0, 0), 0, reference_positions=True)

  @jax.default_matmul_precision('float32')  # as PyTorch
  def predict(language: Array, audio: Array, vision: Array) -> Array:
    frames = dict(zip(MODALITIES, (language, audio, vision), strict=True))
    sequences = {m: _project(m, parameters[_projection(m)], x) for m, x in frames.items()}
    masks = {m: jnp.ones(x.shape[:2], bool) for m, x in sequences.items()}
    return call(mult, params, sequences, masks, train=False)

  return predict


def _expect_positions(parameters: Mapping[str, Array]) -> None:
  """Every encoder has a buffer 'version', one with positions '_float_tensor' as well."""
  of_encoder, of_positions = (
    any(name.endswith(buffer) for name in parameters) for buffer in _BUFFERS
  )
  if of_encoder and not of_positions:
    raise UserError(
      'the parameters are of a MulT without positions, as MMSA trains it by default; '
      'train one with position_embedding=True, or with the public code.'
    )


def _projection(modality: str) -> str:
  return f'proj_{_LETTER[modality]}.weight'


def _project(modality: str, weight: Array, frames: Array) -> Array:
  """The reference's Conv1d, no bias: weight [E, D, n], frames [B, T, D] -> [B, T - n + 1, E]."""
  width, feature_width, steps = weight.shape
  if frames.shape[-1] != feature_width:
    raise UserError(
      f'{modality} is {frames.shape[-1]} wide, expected the {feature_width} of '
      f'{_projection(modality)}.'
    )
  if feature_width == width:
    return frames
  if frames.shape[1] < steps:
    raise UserError(
      f'{modality} has {frames.shape[1]} steps, fewer than the {steps} that the kernel '
      f'of {_projection(modality)} spans; pad it to at least {steps}.'
    )
  conv = nn.Conv(width, (steps,), padding='VALID', use_bias=False)
  return call(conv, {'kernel': weight.transpose(2, 1, 0)}, frames)


def _model_width(parameters: Mapping[str, Array]) -> int:
  name = 'out_layer.weight'
  if name not in parameters:
    raise UserError(f'{name} is missing from the parameters.')
  shape = parameters[name].shape
  if len(shape) != 2 or shape[0] != 1 or shape[1] % 6:
    raise UserError(f'{name} has shape {shape}, expected (1, 6 E).')
  return shape[1] // 6


def _expected_shapes(width: int, num_layers: int) -> dict[str, tuple[int | None, ...]]:
  """{name: shape} of a whole reference model; None is free."""
  shapes: dict[str, tuple[int | None, ...]] = {
    _projection(modality): (width, None, None) for modality in MODALITIES
  }
  for name in _ENCODERS.values():
    shapes |= _encoder_shapes(name, width, num_layers)
  for name in _MEMORIES.values():
    shapes |= _encoder_shapes(name, 2 * width, max(num_layers, MIN_SELF_ATTENTION_LAYERS))
  for name, outputs in zip(_HEAD.values(), (6 * width, 6 * width, 1), strict=True):
    shapes |= {f'{name}.weight': (outputs, 6 * width), f'{name}.bias': (outputs,)}
  return shapes


def _encoder_shapes(encoder: str, width: int, num_layers: int) -> dict[str, tuple[int, ...]]:
  layer = {
    'self_attn.in_proj_weight': (3 * width, width),
    'self_attn.in_proj_bias': (3 * width,),
    'self_attn.out_proj.weight': (width, width),
    'self_attn.out_proj.bias': (width,),
    'fc1.weight': (4 * width, width),
    'fc1.bias': (4 * width,),
    'fc2.weight': (width, 4 * width),
    'fc2.bias': (width,),
  }
  layer |= {f'layer_norms.{i}.{leaf}': (width,) for i in (0, 1) for leaf in ('weight', 'bias')}
  shapes = {
    f'{encoder}.layers.{i}.{name}': shape
    for i in range(num_layers)
    for name, shape in layer.items()
  }
  return shapes | {f'{encoder}.layer_norm.{leaf}': (width,) for leaf in ('weight', 'bias')}


def _check(parameters: Mapping[str, Array], expected: dict[str, tuple[int | None, ...]]) -> None:
  missing = [name for name in expected if name not in parameters]
  unexpected = [name for name in parameters if name not in expected]
  misshapen = [
    f'{name} {parameters[name].shape}, expected {shape}'
    for name, shape in expected.items()
    if name in parameters and not _fits(parameters[name].shape, shape)
  ]
  problems = [
    f'{what}: {", ".join(names[:_NAMED])}'
    + (f' and {len(names) - _NAMED} more' if len(names) > _NAMED else '')
    for what, names in (('missing', missing), ('unexpected', unexpected), ('misshapen', misshapen))
    if names
  ]
  if problems:
    raise UserError('the parameters do not fit a MulT of this many layers; ' + '; '.join(problems))


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
  return len(shape) == len(expected) and all(
    e in (None, s) for s, e in zip(shape, expected, strict=True)
  )


def _to_flax(parameters: Mapping[str, Array], num_layers: int) -> dict:
  """The parameters of `MulT`, from checked ones of the reference."""

  def norm(name):
    return {'scale': parameters[f'{name}.weight'], 'bias': parameters[f'{name}.bias']}

  def dense(name):
    return {'kernel': parameters[f'{name}.weight'].T, 'bias': parameters[f'{name}.bias']}

  def layer(name):
    return {
      'attention': {
        'kernel': parameters[f'{name}.self_attn.in_proj_weight'].T,
        'bias': parameters[f'{name}.self_attn.in_proj_bias'],
        'output': dense(f'{name}.self_attn.out_proj'),
      },
      'attention_norm': norm(f'{name}.layer_norms.0'),
      'feed_forward_norm': norm(f'{name}.layer_norms.1'),
      'expand': dense(f'{name}.fc1'),
      'contract': dense(f'{name}.fc2'),
    }

  def stacked(name, count):
    layers = [layer(f'{name}.layers.{i}') for i in range(count)]
    return {'layer': jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)}

  crossmodal = {
    ours: {'layers': stacked(theirs, num_layers), 'norm': norm(f'{theirs}.layer_norm')}
    for ours, theirs in _ENCODERS.items()
  }
  depth = max(num_layers, MIN_SELF_ATTENTION_LAYERS)
  memories = {
    ours: {
      'layers': stacked(theirs, depth - 1),
      'last_layer': layer(f'{theirs}.layers.{depth - 1}'),
      'norm': norm(f'{theirs}.layer_norm'),
    }
    for ours, theirs in _MEMORIES.items()
  }
  head = {ours: dense(theirs) for ours, theirs in _HEAD.items()}
  return crossmodal | memories | {'heads': {'head': head}}
