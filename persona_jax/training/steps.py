"""The pure steps of pre-training one fold: a batch, and the end of an epoch."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from persona_jax.data.batching import Indices
from persona_jax.data.buckets import Steps
from persona_jax.model import predict
from persona_jax.model.build import PersonalPredictor, call
from persona_jax.model.fast_prng import fast_key
from persona_jax.training import losses, optimizer
from persona_jax.training import state as state_lib
from persona_jax.training.state import Fault, TrainState
from persona_jax.types import Array, Config, Normaliser, RaggedClips, Scalar

_INIT, _DROPOUT = range(2)  # the uses of a fold's keys


class Shared(NamedTuple):
  """What all folds share: the corpus, on the device once. clips, labels [N]."""

  clips: RaggedClips
  labels: Array


class FoldInputs(NamedTuple):
  """What defines a fold: seed [], rank [], normaliser, and the validation clips of each bucket."""

  seed: Scalar
  rank: Scalar
  normaliser: Normaliser
  valid: tuple[Indices, ...]


class Pretraining:
  """The steps of one model and config, as pure functions of a fold's state and inputs."""

  def __init__(self, model: PersonalPredictor, config: Config, steps: Sequence[Steps]):
    """`steps` are the lengths that the clips of each bucket are padded to."""
    self._model, self._lengths = model, steps
    self._num_epochs = config.pretrain.num_epochs
    self._optimizer = optimizer.pretraining(config.pretrain)
    self._plateau = optimizer.plateau(config.pretrain)

  def create_state(self, inputs: FoldInputs, shared: Shared) -> TrainState:
    """Fresh parameters, from the seed and the fold's rank."""
    example = predict.gather(
      shared.clips, inputs.normaliser, jnp.zeros(1, jnp.int32), self._lengths[0]
    )
    params = self._model.init(_key(inputs, _INIT), example)['params']
    return state_lib.create(dict(params), self._optimizer, self._plateau, self._num_epochs)

  def train_step(
    self, bucket: int, state: TrainState, inputs: tuple[FoldInputs, Indices], shared: Shared
  ) -> TrainState:
    """One Adam step.

    Args:
      bucket: that the clips of the batch are of.
      inputs: the fold, and the batches of its epoch [num_batches, B]; the step count selects one.
    """
    fold, epoch = inputs
    batch = jax.tree.map(lambda batches: batches[state.step % len(batches)], epoch)
    clips = predict.gather(shared.clips, fold.normaliser, batch.clips, self._lengths[bucket])
    labels = shared.labels[batch.clips]
    dropout_key = _key(fold, _DROPOUT, state.step)

    def loss_of(params):
      predictions = call(self._model, params, clips, train=True, rngs={'dropout': dropout_key})
      return losses.l1(predictions, labels, batch.weights)

    loss, gradients = jax.value_and_grad(loss_of)(state.params)
    gradients, back = optimizer.vectors_and_back(gradients)
    updates, optimizer_state = self._optimizer.update(gradients, state.optimizer)
    updates = jax.tree.map(lambda update: update * state.plateau.scale, updates)
    return state.replace(
      params=optax.apply_updates(state.params, back(updates)),
      optimizer=optimizer_state,
      step=state.step + 1,
      train_loss=state.train_loss + loss,
      fault=_first_fault(state, loss, gradients),
    )

  def end_epoch(
    self, state: TrainState, inputs: tuple[FoldInputs, Indices], shared: Shared
  ) -> TrainState:
    """Validates, keeps the best parameters, and steps the plateau schedule; `inputs` as above."""
    fold, epoch = inputs
    predictions = predict.of_corpus(
      functools.partial(predict.predict, self._model, state.params),
      shared.clips,
      fold.normaliser,
      [valid.clips for valid in fold.valid],
      self._lengths,
    )
    clips, weights = (jnp.concatenate(part) for part in zip(*fold.valid, strict=True))
    loss = losses.l1(predictions, shared.labels[clips], weights)
    better = loss < state.best_loss
    _, plateau = self._plateau.update((), state.plateau, value=loss)
    row = jnp.stack([state.train_loss / len(epoch.clips), loss])
    curves = jnp.asarray(state.curves).at[state.epoch].set(row)
    return state.replace(
      epoch=state.epoch + 1,
      train_loss=jnp.float32(0),
      plateau=plateau,
      curves=curves,
      best_params=jax.tree.map(
        lambda new, old: jnp.where(better, new, old), state.params, state.best_params
      ),
      best_loss=jnp.where(better, loss, state.best_loss),
      best_epoch=jnp.where(better, state.epoch + 1, state.best_epoch),
    )


def _key(fold: FoldInputs, *numbers: int | Scalar) -> jax.Array:
  """The key of one use of randomness in a fold, told apart by `numbers`.

  It is computed in a loop, whose result XLA keeps in memory. Otherwise every dropout mask would
  compute it anew.
  """
  folded = jnp.stack([jnp.uint32(number) for number in (fold.rank, *numbers)])
  key, _ = lax.scan(
    lambda key, number: (jax.random.fold_in(key, number), None), fast_key(fold.seed), folded
  )
  return key


def _first_fault(state: TrainState, loss: Array, gradients: optimizer.Vectors) -> Fault:
  """The state's fault, or this step's if it is the first."""
  groups: dict[str, Array] = {
    group: ~jnp.isfinite(optax.tree.norm(vector)) for group, vector in gradients.items()
  }
  wrong = ~jnp.isfinite(loss) | jnp.any(jnp.stack(list(groups.values())))
  now = Fault(jnp.where(wrong, state.step + 1, 0), groups)
  return jax.tree.map(lambda old, new: jnp.where(state.fault.step > 0, old, new), state.fault, now)
