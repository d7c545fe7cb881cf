"""The compiled programs of a predictor, so that a second call compiles nothing."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from persona_jax.arms import BASELINE
from persona_jax.model import predict
from persona_jax.model.build import PersonalPredictor, build
from persona_jax.persona import arms, posterior, residual
from persona_jax.persona.arms import Known, Priors
from persona_jax.runtime import compiling
from persona_jax.training.fine_tune import FineTuner, recipes
from persona_jax.types import Array, Clips, Config, Normaliser, Params

Program = Callable[..., Any]


class Programs:
  """Programs of one model; each is compiled when it is first called."""

  def __init__(self, config: Config):
    self._config = config
    self._of_arm: dict[str, Program] = {}
    self._tuners: dict[str, Program] = {}

  @functools.cached_property
  def read(self) -> Program:
    """(params, normaliser, clips) -> predictions [n], and what the head reads [n, width]."""
    return compiling.jit(functools.partial(_read, build(self._config.model)))

  @functools.cached_property
  def answer(self) -> Program:
    """(params, normaliser, priors, clips, table, places) -> `Sentiment` of clips [n].

    Each clip is of the person at its place in the table.
    """
    return compiling.jit(functools.partial(_answer, build(self._config.model)))

  def plain(self, arm: str) -> Program:
    """(params, normaliser, clips) -> predictions [n] of an arm's model."""
    if arm not in self._of_arm:
      model = build(self._config.model) if arm == BASELINE else self._tuner(arm).model
      self._of_arm[arm] = compiling.jit(functools.partial(_predict, model))
    return self._of_arm[arm]

  def fine_tune(self, arm: str) -> Program:
    """(params, normaliser, clips, ...) -> `FineTuner.personalise` of an arm, of raw clips."""
    if arm not in self._tuners:
      tuner = self._tuner(arm)

      def personalise(params: Params, normaliser: Normaliser, clips: Clips, *rest: Array) -> Params:
        return tuner.personalise(params, predict.standardised(clips, normaliser), *rest)

      self._tuners[arm] = compiling.jit(personalise)
    return self._tuners[arm]

  def _tuner(self, arm: str) -> FineTuner:
    return FineTuner(self._config, recipes(self._config.adapt)[arm])


def _read(
  model: PersonalPredictor, params: Params, normaliser: Normaliser, clips: Clips
) -> tuple[Array, Array]:
  return predict.of_batch(
    functools.partial(predict.predict_and_read, model, params), clips, normaliser
  )


def _predict(
  model: PersonalPredictor, params: Params, normaliser: Normaliser, clips: Clips
) -> Array:
  return predict.of_batch(functools.partial(predict.predict, model, params), clips, normaliser)


def _answer(
  model: PersonalPredictor,
  params: Params,
  normaliser: Normaliser,
  priors: Priors,
  clips: Clips,
  table: Known,
  places: Array,
) -> posterior.Sentiment:
  predictions, read = _read(model, params, normaliser, clips)

  def one(place, phi):
    known = jax.tree.map(lambda leaf: leaf[place], table)
    return arms.bayes(priors, known, phi[None])[0]

  phi = residual.features(priors.residual.reading, predictions, read)
  return posterior.summarised(jax.vmap(one)(places, phi))
