"""A person by an arm that fine-tunes: the parameters that changed, in a safetensors file."""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from persona_jax.errors import UserError
from persona_jax.predictor import tensor_files
from persona_jax.types import Params

KIND, FORMAT = 'fine-tuned person', '1'


@dataclasses.dataclass(frozen=True, eq=False)
class FineTuned:
  """A personalised model.

  Attributes:
    predictor: the identity of the predictor that it was fine-tuned from.
    arm: by which it was fine-tuned.
    num_clips: that it learned from.
    changed: the groups of parameters that learned; token networks folded by `folded`.
  """

  predictor: str
  arm: str
  num_clips: int
  changed: Params

  def save(self, path: pathlib.Path | str) -> int:
    """Replaces the file in one step; returns its bytes."""
    path = pathlib.Path(path)
    about = dict(
      kind=KIND,
      format=FORMAT,
      predictor=self.predictor,
      arm=self.arm,
      num_clips=str(self.num_clips),
    )
    tensor_files.write(path, flat(self.changed), about)
    return path.stat().st_size


def load(path: pathlib.Path | str) -> FineTuned:
  """Reads what `FineTuned.save` wrote.

  Raises:
    UserError: the file is missing, damaged, of another kind, or of a newer format.
  """
  tensors, about = tensor_files.read(pathlib.Path(path), KIND, FORMAT)
  try:
    return FineTuned(
      about['predictor'],
      about['arm'],
      int(about['num_clips']),
      traverse_util.unflatten_dict(tensors, sep='/'),
    )
  except (KeyError, ValueError) as error:
    raise UserError(f'{path}: damaged ({error}); adapt anew.') from error


def flat(params: Params) -> dict[str, np.ndarray]:
  """Parameters by their names, such as `adapter/language_projection/kernel`."""
  leaves: dict[str, Any] = dict(traverse_util.flatten_dict(params, sep='/'))
  return {name: np.asarray(leaf) for name, leaf in leaves.items()}


def folded(params: Params) -> Params:
  """Parameters in which every token network is replaced by its output, u = MLP(u').

  Only one token can be the bias of a network without inputs. So networks of several tokens stay.
  """
  adapter = {
    name: _fold(network) if 'embedding' in network and len(network['embedding']) == 1 else network
    for name, network in params.get('adapter', {}).items()
  }
  return params | ({'adapter': adapter} if adapter else {})


@jax.default_matmul_precision('float32')
def _fold(network: dict[str, Any]) -> dict[str, Any]:
  hidden, output = network['hidden'], network['output']
  inner = jnp.tanh(network['embedding'] @ hidden['kernel'] + hidden['bias'])
  token = inner @ output['kernel'] + output['bias']
  return {'output': {'bias': np.asarray(token[0])}}


def unfolded(changed: Params, like: Params) -> Params:
  """Parameters of the shapes of `like`, whose token networks give the folded outputs.

  Args:
    changed: by `folded`.
    like: the groups of the student's parameters that learned; arrays or shapes.

  Raises:
    UserError: the parameters are of another model.
  """
  left: dict[str, Any] = dict(traverse_util.flatten_dict(changed, sep='/'))
  wanted: dict[str, Any] = dict(traverse_util.flatten_dict(like, sep='/'))
  whole = {}
  for name, leaf in wanted.items():
    parts = name.split('/')
    is_folded = 'embedding' not in changed.get(parts[0], {}).get(parts[1], {'embedding': 0})
    found = left.pop(name, None)
    if found is None and is_folded:
      found = np.zeros(leaf.shape, np.float32)  # of a network whose bias is its output
    if found is None or found.shape != leaf.shape:
      raise UserError(f'a fine-tuned person has other parameters than the predictor ({name}).')
    whole[name] = found
  if left:
    raise UserError(f'a fine-tuned person has a parameter too many ({next(iter(left))}).')
  return traverse_util.unflatten_dict(whole, sep='/')
