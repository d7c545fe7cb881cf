"""Personalising: a few full-batch steps on a user's support clips, many draws in one program."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import optax
from jax import lax

from persona_jax import parallel
from persona_jax.evaluation import predict
from persona_jax.model.build import PersonalPredictor
from persona_jax.training import losses, optimizer
from persona_jax.training.steps import Shared
from persona_jax.types import Array, Clips, Normaliser, Params


class Support(NamedTuple):
  """Labelled clips of one user with the teacher's opinion of them. clips B = K; the rest [K]."""

  clips: Clips
  labels: Array
  teacher: Array


class Personalising:
  """The fine-tuning of one model and config, as pure functions."""

  def __init__(self, model: PersonalPredictor, config: ml_collections.ConfigDict):
    self._model, self._config = model, config.adapt
    self._optimizer = optimizer.personalising(config.adapt)

  def step(self, params: Params, optimizer_state: optax.OptState, support: Support,
           label_weight: Array) -> tuple[Params, optax.OptState]:
    """One step of the distilled loss over all support clips, without dropout."""

    def loss_of(params):
      predictions = self._model.apply({'params': params}, support.clips)
      return losses.distilled_l1(predictions, support.labels, support.teacher, label_weight)

    updates, optimizer_state = self._optimizer.update(
        jax.grad(loss_of)(params), optimizer_state, params)
    return optax.apply_updates(params, updates), optimizer_state

  def personalise(self, params: Params, normaliser: Normaliser, shared: Shared, support: Array,
                  label_weight: Array) -> Params:
    """Fine-tunes the teacher's parameters on the clips at `support` [K]."""
    clips = predict.gather(shared.clips, normaliser, support)
    teacher = self._model.apply({'params': params}, clips)
    known = Support(clips, shared.labels[support], teacher)

    def one_step(carry, _):
      return self.step(*carry, known, label_weight), None

    carry = (params, self._optimizer.init(params))
    (personal, _), _ = lax.scan(one_step, carry, length=self._config.num_steps)
    return personal


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


class Trials(NamedTuple):
  """Personalisations to do, T of them: support [T, K] clips of the user; label_weight [T] lambda."""

  support: Array
  label_weight: Array


def predict_trials(personalising: Personalising, model: PersonalPredictor, task: FoldTask,
                   trials: Trials, shared: Shared) -> Array:
  """Personalises to the fold's user once a trial, and predicts the user's clips: [T, n]."""

  def one(trial):
    personal = personalising.personalise(
        task.params, task.normaliser, shared, trial.support, trial.label_weight)
    return predict.predict(model, personal, task.normaliser, shared.clips, task.own)

  return lax.map(one, trials, batch_size=parallel.vmapped_trials(len(trials.support)))
