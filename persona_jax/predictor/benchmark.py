"""What many people in one batch cost, against the un-personalised model."""

from typing import Any

import jax
import numpy as np

from persona_jax.model.build import build
from persona_jax.persona import arms
from persona_jax.predictor.person import Person
from persona_jax.predictor.predictor import Predictor
from persona_jax.training import benchmark
from persona_jax.training.steps import Pretraining
from persona_jax.types import Config

PEOPLE = 'people'
_USERS, _SPEAKERS, _OWN, _SHOTS = 1000, 20, 50, 5


def measure(config: Config, repeats: int) -> dict[str, Any]:
  """Times a batch of clips, each of another person, and the same batch without people.

  Clips are random, of the shape 'utterance'; the people are known by five clips each, and their
  files are loaded.

  Args:
    config: of the model.
    repeats: of which the median is taken.

  Returns:
    What `launch.benchmark` prints: clips per second, and the milliseconds of one clip.
  """
  shared, inputs, places = benchmark.random_corpus('utterance', _SPEAKERS * _OWN)
  model, everything = build(config.model), shared.clips.at(places)
  steps = Pretraining(model, config, [shared.clips.steps])
  params = jax.jit(steps.create_state)(inputs, shared).params
  widths = shared.clips.widths
  facts = dict(steps=shared.clips.steps)
  plain = Predictor(config, jax.device_get(params), inputs.normaliser, None, widths, facts)
  predictions, read = plain.read(everything)
  speakers, half = np.repeat(np.arange(_SPEAKERS), _OWN), len(places) // 2
  priors = arms.fit(
    predictions, read, np.asarray(shared.labels), speakers, places[:half], places[half:]
  )
  predictor = Predictor(config, plain.params, plain.normaliser, priors, widths, facts)
  people = _people(predictor)
  clips, of_clip = everything.at(places[:_USERS]), np.arange(_USERS)
  with_people_s = benchmark.median_s(
    lambda: predictor.predict_mixed(clips, people, of_clip), repeats
  )
  without_s = benchmark.median_s(lambda: plain.predict(clips), repeats)
  one_s = benchmark.median_s(lambda: predictor.predict(clips.at(of_clip[:1]), people[0]), repeats)
  return dict(
    shape=PEOPLE,
    layers=config.model.num_layers,
    users=_USERS,
    device=jax.devices()[0].device_kind,
    clips_per_s=round(_USERS / with_people_s),
    clips_per_s_without_people=round(_USERS / without_s),
    one_clip_ms=round(1000 * one_s, 1),
  )


def _people(predictor: Predictor) -> list[Person]:
  """People with random clips."""
  random, nobody = np.random.default_rng(0), predictor.nobody()
  width = nobody.components.shape[1]
  shape = _USERS, _SHOTS
  labels, predictions = random.uniform(-3, 3, (2, *shape)).astype(np.float32)
  components = random.normal(size=(*shape, width)).astype(np.float32)
  clips, chosen = np.arange(_SHOTS, dtype=np.uint64), np.zeros(_SHOTS, bool)
  return [
    Person(predictor.identity, clips, labels[user], predictions[user], components[user], chosen)
    for user in range(_USERS)
  ]
