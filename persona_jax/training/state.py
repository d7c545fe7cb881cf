"""The state of one fold's pre-training, a pytree that a checkpoint holds whole."""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from flax import struct
from optax.contrib import ReduceLROnPlateauState

from persona_jax.training.optimizer import vectors
from persona_jax.types import Array, Params


class Fault(NamedTuple):
  """The first step whose loss or gradient was not finite.

  Attributes:
    step: [] int32, counted from 1; 0 while all were finite.
    groups: {'adapter', 'base'} -> [] bool, whose gradient was not finite.
  """

  step: Array
  groups: dict[str, Array]


class TrainState(struct.PyTreeNode):
  """Everything that an uninterrupted run would carry into the next step.

  Attributes:
    params: {'adapter': ..., 'base': ...}.
    optimizer: Adam's state, of one vector per parameter group.
    plateau: the learning-rate schedule's state; its `scale` multiplies every update.
    step, epoch: [] int32, done so far.
    train_loss: [] float32, sum of the losses of this epoch's steps.
    best_params: parameters of the epoch with the least validation loss.
    best_loss, best_epoch: [], that loss, and its epoch counted from 1.
    curves: [num_epochs, 2] float32 training and validation loss, inf where still to come.
    fault: what went wrong, if anything.
  """

  params: Params
  optimizer: optax.OptState
  plateau: ReduceLROnPlateauState
  step: Array
  epoch: Array
  train_loss: Array
  best_params: Params
  best_loss: Array
  best_epoch: Array
  curves: Array
  fault: Fault


def create(
  params: Params,
  optimizer: optax.GradientTransformation,
  plateau: optax.GradientTransformation,
  num_epochs: int,
) -> TrainState:
  """The state before the first step."""
  return TrainState(
    params=params,
    optimizer=optimizer.init(vectors(params)),
    plateau=cast(ReduceLROnPlateauState, plateau.init(params)),
    step=jnp.int32(0),
    epoch=jnp.int32(0),
    train_loss=jnp.float32(0),
    best_params=jax.tree.map(jnp.copy, params),
    best_loss=jnp.float32(jnp.inf),
    best_epoch=jnp.int32(0),
    curves=jnp.full((num_epochs, 2), jnp.inf, jnp.float32),
    fault=Fault(jnp.int32(0), {group: jnp.bool_(False) for group in params}),
  )
