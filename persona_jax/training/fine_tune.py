"""Fine-tuning: a few full-batch steps on a user's support clips, many trials in one program."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax import lax

from persona_jax.data.batching import Indices
from persona_jax.data.buckets import Steps, training_s
from persona_jax.model import predict
from persona_jax.model.build import GROUPS, build, call, with_distillation_token
from persona_jax.training import losses, optimizer
from persona_jax.training.steps import Shared
from persona_jax.types import Array, Clips, Config, Normaliser, Params, Scalar


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How an arm fine-tunes. Arms that differ only in `label_weight` share a program.

  Attributes:
    label_weight: lambda; 1 leaves the teacher out.
    trained: the parameter groups that learn; the others get no gradient.
    distilling: a second token per modality, with a head of its own, learns from the teacher.
  """

  label_weight: float = 1.0
  trained: tuple[str, ...] = GROUPS
  distilling: bool = False

  @property
  def program(self) -> str:
    """The name of the program that runs it."""
    return '-'.join(self.trained) + ('-token' if self.distilling else '')


def recipes(config: Config) -> dict[str, Recipe]:
  """Returns {arm: recipe} of the arms that fine-tune; `config` is `config.adapt`."""
  return {
    'fs_ua': Recipe(),
    'fs_ua_kd': Recipe(label_weight=config.weight),
    'fs_ua_token': Recipe(label_weight=config.weight, distilling=True),
    'fs_adapter': Recipe(trained=('adapter',)),
    'fs_base': Recipe(trained=('base',)),
  }


def seconds(config: Config, num_clips: int, steps: Steps) -> float:
  """An estimate of what fine-tuning on one support set takes.

  Args:
    config: the whole config.
    steps: {modality: T_m} that the clips are padded to.
  """
  return config.adapt.num_steps * num_clips * training_s(steps, config.model)


class Supports(NamedTuple):
  """The support sets to personalise on; or one of them, without the leading axis.

  Attributes:
    clips: [num_supports, K] indices of the user's clips.
    weights: [num_supports, K] 1 for a clip, 0 for padding where there are fewer than K shots.
    label_weight: [num_supports] lambda.
  """

  clips: Array
  weights: Array
  label_weight: Scalar


class FineTuner:
  """The fine-tuning of one config's predictor by one recipe, as pure functions.

  Attributes:
    model: the personalised predictor.
  """

  def __init__(self, config: Config, recipe: Recipe):
    """`label_weight` of the recipe is not used; it comes with each support set."""
    self._teacher, self._config, self._recipe = build(config.model), config.adapt, recipe
    self.model = build(config.model, recipe.distilling)
    self._optimizer = optimizer.personalising(config.adapt)

  def start(self, params: Params) -> Params:
    """The student's parameters before the first step, from the teacher's."""
    return with_distillation_token(params) if self._recipe.distilling else params

  def personalise(
    self, params: Params, clips: Clips, labels: Array, weights: Array, label_weight: Scalar
  ) -> Params:
    """Fine-tunes from the teacher's parameters on one support set, without dropout.

    Args:
      params: of the teacher.
      clips: [K] of the user, standardised.
      labels: [K] sentiment.
      weights: [K] 1 for a clip, 0 for padding.
      label_weight: [] lambda.
    """
    distilling = self._recipe.distilling
    # Without a second token the student starts as the teacher, whose predictions are then those of
    # the first step: a forward pass less to compile.
    teacher = call(self._teacher, params, clips) if distilling else jnp.zeros(len(labels))
    params, trained = self.start(params), self._recipe.trained
    frozen = {group: tree for group, tree in params.items() if group not in trained}
    learning = {group: params[group] for group in trained}

    def loss_of(learning, teacher, is_first):
      scores = call(self.model, learning | frozen, clips, method='scores')
      if not distilling:
        teacher = jnp.where(is_first, lax.stop_gradient(scores[:, 0]), teacher)
      loss = losses.distillation_loss(
        scores,
        labels,
        teacher,
        weights,
        label_weight,
        losses.distillation(self._config.distillation),
        self._config.temperature,
      )
      return loss, teacher

    def step(carry, is_first):
      learning, state, teacher = carry
      gradients, teacher = jax.grad(loss_of, has_aux=True)(learning, teacher, is_first)
      gradients, back = optimizer.vectors_and_back(gradients)
      updates, state = self._optimizer.update(gradients, state)
      learning = optax.apply_updates(learning, back(cast(optimizer.Vectors, updates)))
      return (learning, state, teacher), None

    state = self._optimizer.init(optimizer.vectors(learning))
    is_first = jnp.arange(self._config.num_steps) == 0
    (learned, *_), _ = lax.scan(step, (learning, state, teacher), is_first)
    return cast(Params, learned) | frozen


class FoldTask(NamedTuple):
  """What all personalisations of one fold share.

  Attributes:
    params: the fold's teacher.
    normaliser: the fold's.
    user_clips: [n_b] the user's clips of every bucket, padded; every personalised predictor
      predicts all of them.
  """

  params: Params
  normaliser: Normaliser
  user_clips: tuple[Indices, ...]


def fine_tune_and_predict(
  fine_tuner: FineTuner,
  support_steps: Steps,
  steps: Sequence[Steps],
  vmapped: int,
  task: FoldTask,
  supports: Supports,
  shared: Shared,
) -> Array:
  """Personalises to the fold's user once per support set, and predicts the user's clips.

  Args:
    support_steps: {modality: T_m} that support clips are padded to.
    steps: {modality: T_m} of every bucket of the user's clips.
    vmapped: how many support sets are batched into one, by `parallel.vmapped_trials`.

  Returns:
    [num_supports, n], one bucket behind the other.
  """

  def one(support: Supports) -> Array:
    clips = predict.gather(shared.clips, task.normaliser, support.clips, support_steps)
    personal = fine_tuner.personalise(
      task.params, clips, shared.labels[support.clips], support.weights, support.label_weight
    )
    return predict.of_user(
      functools.partial(predict.predict, fine_tuner.model, personal),
      shared.clips,
      task.normaliser,
      task.user_clips,
      steps,
    )

  return lax.map(one, supports, batch_size=vmapped if vmapped > 1 else None)
