"""Personalising: a few full-batch steps on a user's support clips, many trials in one program."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import optax
from jax import lax

from persona_jax import parallel
from persona_jax.evaluation import predict
from persona_jax.model.build import GROUPS, PersonalPredictor
from persona_jax.training import losses, optimizer
from persona_jax.training.steps import Shared
from persona_jax.types import Array, Normaliser, Params


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How an arm fine-tunes. Arms that differ in `label_weight` alone share a program.

  Attributes:
    label_weight: lambda; 1 leaves the teacher out.
    trained: the parameter groups that learn; no gradient is computed of the others.
  """

  label_weight: float = 1.0
  trained: tuple[str, ...] = GROUPS


def recipes(config: ml_collections.ConfigDict) -> dict[str, Recipe]:
  """{arm: recipe} of the arms that fine-tune; `config` is `config.adapt`."""
  return {'fs_ua': Recipe(), 'fs_ua_kd': Recipe(label_weight=config.weight),
          'fs_adapter': Recipe(trained=('adapter',)), 'fs_base': Recipe(trained=('base',))}


class Trials(NamedTuple):
  """Personalisations to do, T of them; or one, without the leading axis.

  Attributes:
    support: [T, K] clips of the user.
    weights: [T, K] 1, and 0 behind the shots of a trial that has fewer than K.
    label_weight: [T] lambda.
  """

  support: Array
  weights: Array
  label_weight: Array


class Personalising:
  """The fine-tuning of one model and config, as pure functions."""

  def __init__(self, model: PersonalPredictor, config: ml_collections.ConfigDict,
               trained: tuple[str, ...] = GROUPS):
    """`config` is `config.adapt`; `trained` are the groups of parameters that learn."""
    self._model, self._config, self._trained = model, config, trained
    self._optimizer = optimizer.personalising(config)

  def personalise(self, params: Params, normaliser: Normaliser, shared: Shared,
                  trial: Trials) -> Params:
    """Fine-tunes the teacher's parameters on a trial's support, without dropout."""
    clips = predict.gather(shared.clips, normaliser, trial.support)
    labels = shared.labels[trial.support]
    teacher = self._model.apply({'params': params}, clips)
    frozen = {group: tree for group, tree in params.items() if group not in self._trained}
    learning = {group: params[group] for group in self._trained}

    def loss_of(learning):
      predictions = self._model.apply({'params': learning | frozen}, clips)
      return losses.personal(predictions, labels, teacher, trial.weights, trial.label_weight,
                             losses.DISTILLATIONS[self._config.distillation],
                             self._config.temperature)

    def step(carry, _):
      learning, state = carry
      updates, state = self._optimizer.update(jax.grad(loss_of)(learning), state, learning)
      return (optax.apply_updates(learning, updates), state), None

    carry = (learning, self._optimizer.init(learning))
    (learning, _), _ = lax.scan(step, carry, length=self._config.num_steps)
    return learning | frozen


class FoldTask(NamedTuple):
  """What all personalisations of one fold share.

  Attributes:
    params: the fold's teacher.
    normaliser: the fold's.
    own: [n] the user's clips, padded; all are predicted by every personalised predictor.
  """

  params: Params
  normaliser: Normaliser
  own: Array


def predict_trials(personalising: Personalising, model: PersonalPredictor, task: FoldTask,
                   trials: Trials, shared: Shared) -> Array:
  """Personalises to the fold's user once a trial, and predicts the user's clips: [T, n]."""

  def one(trial):
    personal = personalising.personalise(task.params, task.normaliser, shared, trial)
    return predict.predict(model, personal, task.normaliser, shared.clips, task.own)

  return lax.map(one, trials, batch_size=parallel.vmapped_trials(len(trials.support)))
