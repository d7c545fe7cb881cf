"""Makes mult_parity/*.npz: what a tiny MulT in PyTorch computes, to compare with in `test_interop`.

The model is MMSA's copy of MulT. It runs in an environment of its own:

  python3 -m venv peer && peer/bin/pip install torch==2.13.0 numpy
  peer/bin/pip install --no-deps MMSA==2.2.1
  peer/bin/python tests/model/make_mult_parity.py

MMSA leaves MulT's positions out unless told otherwise; the public code
(https://github.com/yaohungt/Multimodal-Transformer) always adds them, and so does this script. All
parameters are random, biases and norms too: at their initial 0 and 1 a mistaken one would not show.
"""

import functools
import importlib
import importlib.util
import pathlib
import sys
import types

import numpy as np
import torch
from parity_files import INPUTS, write_small

FOLDER = pathlib.Path(__file__).parent / 'mult_parity'
WIDTH, NUM_HEADS, NUM_CLIPS = 4, 2, 3
ALIGNED = dict(num_layers=1, steps=(6, 6, 6), widths=(7, 3, 5), kernels=(1, 1, 1))
# Vision is already as wide as the model, so it is not projected.
UNALIGNED = dict(num_layers=2, steps=(5, 11, 13), widths=(7, 3, WIDTH), kernels=(1, 3, 1))


def mult_class() -> type[torch.nn.Module]:
  """MMSA's MULT, with positions; the packages around it would import much that it does not need."""
  root = pathlib.Path(importlib.util.find_spec('MMSA').submodule_search_locations[0])
  for name in ('MMSA', 'MMSA.models', 'MMSA.models.subNets', 'MMSA.models.singleTask'):
    package = types.ModuleType(name)
    package.__path__ = [str(root.joinpath(*name.split('.')[1:]))]
    sys.modules[name] = package
  sys.modules['MMSA.models.subNets'].BertTextEncoder = None
  module = importlib.import_module('MMSA.models.singleTask.MULT')
  module.TransformerEncoder = functools.partial(module.TransformerEncoder, position_embedding=True)
  return module.MULT


def halves(array: np.ndarray) -> np.ndarray:
  """Rounded to float16, so that the file holds the very numbers that the reference saw."""
  return array.astype(np.float16).astype(np.float32)


def make(
  mult: type[torch.nn.Module],
  name: str,
  seed: int,
  num_layers: int,
  steps: tuple[int, ...],
  widths: tuple[int, ...],
  kernels: tuple[int, ...],
) -> None:
  """Writes one file."""
  random = np.random.default_rng(seed)
  model = (
    mult(
      types.SimpleNamespace(
        use_bert=False,
        dst_feature_dim_nheads=(WIDTH, NUM_HEADS),
        feature_dims=widths,
        nlevels=num_layers,
        attn_mask=True,
        train_mode='regression',
        **{f'conv1d_kernel_size_{m[0]}': kernel for m, kernel in zip(INPUTS, kernels, strict=True)},
        **{f'{place}_dropout': 0.0 for place in ('attn', 'relu', 'embed', 'res', 'output', 'text')},
        attn_dropout_a=0.0,
        attn_dropout_v=0.0,
      )
    )
    .double()
    .eval()
  )
  parameters = {name for name, _ in model.named_parameters()}
  state = {
    name: halves(random.normal(0, 0.4, tensor.shape))
    if name in parameters
    else np.full(tensor.shape, 2, np.float32)
    for name, tensor in model.state_dict().items()
  }
  model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})

  inputs = [
    halves(random.normal(size=(NUM_CLIPS, length, width)))
    for length, width in zip(steps, widths, strict=True)
  ]
  inputs[0][1, -2:] = 0  # frames whose first channel is exactly 0 once projected: words as padding,
  inputs[2][2, 3] = 0  # a lost face,
  if widths[2] == WIDTH:
    inputs[2][0, 5, 0] = 0  # and a frame of which only that channel is 0
  target = halves(random.uniform(-3, 3, NUM_CLIPS))
  prediction = model(*(torch.from_numpy(array).double() for array in inputs))['M']
  loss = (prediction[:, 0] - torch.from_numpy(target)).abs().mean()
  loss.backward()
  norms = {
    name: 0.0 if parameter.grad is None else parameter.grad.norm().item()
    for name, parameter in model.named_parameters()
  }
  write_small(
    FOLDER / f'{name}.npz',
    state,
    norms,
    **dict(zip(INPUTS, inputs, strict=True)),
    target=target,
    prediction=prediction.detach().numpy(),
    l1_loss=loss.item(),
    num_layers=num_layers,
    num_heads=NUM_HEADS,
  )


if __name__ == '__main__':
  FOLDER.mkdir(exist_ok=True)
  MULT = mult_class()
  make(MULT, 'aligned', 0, **ALIGNED)
  make(MULT, 'unaligned', 1, **UNALIGNED)
