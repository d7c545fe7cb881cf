"""Personalising: a few full-batch steps on a user's support clips, many trials in one program."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import optax
from jax import lax

from persona_jax.evaluation import predict
from persona_jax.model.build import GROUPS, build, with_distillation_token
from persona_jax.training import losses, optimizer
from persona_jax.training.steps import Shared
from persona_jax.types import Array, Normaliser, Params


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How an arm fine-tunes. Arms that differ in `label_weight` alone share a program.

  Attributes:
    label_weight: lambda; 1 leaves the teacher out.
    trained: the parameter groups that learn; no gradient is computed of the others.
    distilling: a second token a modality, with a head of its own, learns from the teacher.
  """

  label_weight: float = 1.0
  trained: tuple[str, ...] = GROUPS
  distilling: bool = False

  @property
  def program(self) -> str:
    """Names the program."""
    return '-'.join(self.trained) + ('-token' if self.distilling else '')


def recipes(config: ml_collections.ConfigDict) -> dict[str, Recipe]:
  """{arm: recipe} of the arms that fine-tune; `config` is `config.adapt`."""
  return {'fs_ua': Recipe(), 'fs_ua_kd': Recipe(label_weight=config.weight),
          'fs_ua_token': Recipe(label_weight=config.weight, distilling=True),
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
  """The fine-tuning of one config's predictor by one recipe, as pure functions.

  Attributes:
    model: the personalised predictor.
  """

  def __init__(self, config: ml_collections.ConfigDict, recipe: Recipe):
    """`label_weight` of the recipe is not looked at: it is a trial's."""
    self._teacher, self._config, self._recipe = build(config.model), config.adapt, recipe
    self.model = build(config.model, recipe.distilling)
    self._optimizer = optimizer.personalising(config.adapt)

  def start(self, params: Params) -> Params:
    """The student's parameters before the first step, from the teacher's."""
    return with_distillation_token(params) if self._recipe.distilling else params

  def personalise(self, params: Params, normaliser: Normaliser, shared: Shared,
                  trial: Trials) -> Params:
    """Fine-tunes from the teacher's parameters on a trial's support, without dropout."""
    clips = predict.gather(shared.clips, normaliser, trial.support)
    labels = shared.labels[trial.support]
    teacher = self._teacher.apply({'params': params}, clips)
    params, trained = self.start(params), self._recipe.trained
    frozen = {group: tree for group, tree in params.items() if group not in trained}
    learning = {group: params[group] for group in trained}

    def loss_of(learning):
      scores = self.model.apply({'params': learning | frozen}, clips, method='scores')
      return losses.personal(scores, labels, teacher, trial.weights, trial.label_weight,
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


def predict_trials(personalising: Personalising, vmapped: int, task: FoldTask, trials: Trials,
                   shared: Shared) -> Array:
  """Personalises to the fold's user once a trial, and predicts the user's clips: [T, n].

  Args:
    vmapped: how many trials are batched into one, by `parallel.vmapped_trials`.
  """

  def one(trial):
    personal = personalising.personalise(task.params, task.normaliser, shared, trial)
    return predict.predict(personalising.model, personal, task.normaliser, shared.clips, task.own)

  return lax.map(one, trials, batch_size=vmapped)
