"""The two optimizers: Adam for pre-training, and one Adam a parameter group for personalising.

They take one vector per parameter group. The predictor has about 190 arrays, and the update of each
would be compiled by itself and started in every step.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from persona_jax.model.build import GROUPS
from persona_jax.types import Array, Config, Params

Vectors = dict[str, Array]  # {group: [n]}


def vectors(params: Params) -> Vectors:
  """The arrays of each group, one behind the other."""
  return vectors_and_back(params)[0]


def vectors_and_back(params: Params) -> tuple[Vectors, Callable[[Vectors], Params]]:
  """`vectors`, and the function that makes trees like `params` of vectors like them."""
  ravelled = {group: ravel_pytree(tree) for group, tree in params.items()}

  def back(vectors: Vectors) -> Params:
    return {group: unravel(jnp.asarray(vectors[group])) for group, (_, unravel) in ravelled.items()}

  return {group: vector for group, (vector, _) in ravelled.items()}, back


def pretraining(config: Config) -> optax.GradientTransformation:
  """Adam behind a clip of the global gradient norm; `config` is `config.pretrain`."""
  return optax.chain(optax.clip_by_global_norm(config.clip_norm), optax.adam(config.learning_rate))


def plateau(config: Config) -> optax.GradientTransformationExtraArgs:
  """Scales updates down when the validation loss stalls; updated once an epoch.

  One epoch more than optax counts passes before the rate falls, as in PyTorch's ReduceLROnPlateau.
  """
  return optax.contrib.reduce_on_plateau(
    factor=config.plateau_factor, patience=config.plateau_patience + 1
  )


def group_labels(params: Params) -> Params:
  """Labels every array 'adapter' or 'base' by its top-level key, for `optax.multi_transform`.

  Raises:
    ValueError: a parameter belongs to neither group.
  """
  if not set(params) <= set(GROUPS):
    raise ValueError(f'parameters {sorted(params)}, expected of the groups {sorted(GROUPS)}')
  return {group: _filled(tree, group) for group, tree in params.items()}


def _filled(tree: Params, label: str) -> Params:
  return jax.tree.map(lambda _: label, tree)


def personalising(config: Config) -> optax.GradientTransformation:
  """Adam with separate learning rates (paper, section 4.2); `config` is `config.adapt`."""
  return optax.multi_transform(
    {
      'adapter': optax.adam(config.adapter_learning_rate),
      'base': optax.adam(config.base_learning_rate),
    },
    group_labels,
  )
