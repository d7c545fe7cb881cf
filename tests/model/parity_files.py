"""Files of what a PyTorch MulT computed: a small, packed kind kept here, and a large, plain one.

Both hold the inputs `language`, `audio`, `vision` [B, T_m, D_m], `target` [B], and what the
reference made of them in float64 without dropout: `prediction` [B, 1], `l1_loss`, and the norm of
its gradient for each parameter; `num_layers` and `num_heads` say the model's size. A large file has
an entry `param/<name>` and `grad_norm/<name>` for every parameter. In a small one those hundreds of
entries, whose headers would outweigh the numbers, are three:

  names    [n] entries of the state dict as '<name> <dimensions>', such as 'proj_l.weight 4,7,1'
  values   float16, all entries flattened one after the other; exactly the reference's own
  norms    [n] float64, NaN for a buffer, which has no gradient
"""

import os
import pathlib
from typing import NamedTuple

import numpy as np

FOLDER_VARIABLE = 'PERSONA_JAX_PARITY'  # names the folder of the large files
_FOLDER = os.environ.get(FOLDER_VARIABLE) or (
  pathlib.Path(__file__).parents[3] / 'shared' / 'data' / 'mult_parity'
)

SMALL = sorted((pathlib.Path(__file__).parent / 'mult_parity').glob('*.npz'))
LARGE = sorted(pathlib.Path(_FOLDER).glob('*.npz'))
INPUTS = ('language', 'audio', 'vision')


class Reference(NamedTuple):
  """One file. The dicts go by the name of a parameter, and `buffers` by that of a buffer."""

  parameters: dict[str, np.ndarray]
  buffers: dict[str, np.ndarray]
  gradient_norms: dict[str, float]
  inputs: list[np.ndarray]
  target: np.ndarray
  prediction: np.ndarray
  loss: float
  size: tuple[int, int]  # layers and heads


def read(path: pathlib.Path) -> Reference:
  """Reads either kind."""
  with np.load(path) as file:
    content = dict(file)
  state, norms = (
    _unpack(content)
    if 'names' in content
    else (_under(content, 'param/'), _under(content, 'grad_norm/'))
  )
  return Reference(
    {name: value for name, value in state.items() if name in norms},
    {name: value for name, value in state.items() if name not in norms},
    norms,
    [content[modality] for modality in INPUTS],
    content['target'],
    content['prediction'],
    float(content['l1_loss']),
    (int(content['num_layers']), int(content['num_heads'])),
  )


def _under(content: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
  return {name[len(prefix) :]: value for name, value in content.items() if name.startswith(prefix)}


def _unpack(content: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
  """The state dict, and the gradient norms of those of its entries that are parameters."""
  state, start = {}, 0
  for entry in content['names']:
    name, dimensions = entry.split(' ')
    shape = tuple(map(int, dimensions.split(',')))
    end = start + np.prod(shape)
    state[name] = content['values'][start:end].reshape(shape).astype(np.float32)
    start = end
  return state, {
    name: norm for name, norm in zip(state, content['norms'], strict=True) if not np.isnan(norm)
  }


def write_small(
  path: pathlib.Path, state: dict[str, np.ndarray], norms: dict[str, float], **numbers: np.ndarray
) -> None:
  """Writes the packed kind; `numbers` are stored as they are."""
  np.savez_compressed(
    path,
    **numbers,
    names=[f'{name} {",".join(map(str, value.shape))}' for name, value in state.items()],
    values=np.concatenate([value.ravel() for value in state.values()]).astype(np.float16),
    norms=np.array([norms.get(name, np.nan) for name in state]),
  )
