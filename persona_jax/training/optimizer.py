"""The two optimizers: Adam for pre-training, and one Adam a parameter group for personalising."""

import jax
import optax

from persona_jax.model.build import GROUPS
from persona_jax.types import Config, Params


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
  """Labels every parameter 'adapter' or 'base' by its top-level key, for `optax.multi_transform`.

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
