"""What it costs to personalise to one user: by fine-tuning, and by a Bayesian persona."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from persona_jax.data import batching
from persona_jax.data.buckets import single
from persona_jax.model import predict
from persona_jax.model.build import build
from persona_jax.persona import arms as persona_arms
from persona_jax.runtime import compiling
from persona_jax.training import benchmark
from persona_jax.training.fine_tune import (
  FineTuner,
  FoldTask,
  Supports,
  fine_tune_and_predict,
  recipes,
)
from persona_jax.training.steps import Pretraining
from persona_jax.types import Config

PERSON = 'person'
_SHOTS, _OWN, _SPEAKERS = 5, 24, 20  # support clips, clips of a user, speakers
_BATCHED = 2000  # support sets of one call: 100 users of 20 draws
_ARM, _STUDENT = persona_arms.BAYES, 'fs_ua_kd'


def measure(config: Config, repeats: int) -> dict[str, Any]:
  """Times one user's five clips, from the support set to predictions of all the user's clips.

  The teacher's predictions are there already. Clips are random, of the shape 'utterance', and one
  device runs both.

  Args:
    config: of the model, and of fine-tuning.
    repeats: of which the median is taken.

  Returns:
    What `launch.benchmark` prints: seconds per support set, how many times faster the persona is,
    and the bytes that are stored of a person.
  """
  shared, inputs, clips = benchmark.random_corpus('utterance', _OWN * _SPEAKERS)
  model, steps = build(config.model), [shared.clips.steps]
  params = jax.jit(Pretraining(model, config, steps).create_state)(inputs, shared).params
  own, recipe = np.arange(_OWN), recipes(config.adapt)[_STUDENT]
  support = Supports(
    np.arange(_SHOTS)[None],
    np.ones((1, _SHOTS), np.float32),
    np.full(1, recipe.label_weight, np.float32),
  )
  tuner = FineTuner(config, recipe)
  fine_tune = compiling.jit(functools.partial(fine_tune_and_predict, tuner, *steps, steps, 1))
  task = FoldTask(params, inputs.normaliser, (batching.pad(own, len(own)),))
  fine_tuned_s = benchmark.median_s(
    lambda: jax.block_until_ready(fine_tune(task, support, shared)), repeats
  )
  read_clips = functools.partial(predict.predict_and_read, model)
  predictions, read = jax.device_put(
    predict.at_once(
      read_clips, params, shared.clips, inputs.normaliser, clips, single(shared.clips)
    )
  )
  labels, speakers = jnp.asarray(shared.labels), np.repeat(np.arange(_SPEAKERS), _OWN)
  half = len(clips) // 2  # to train on; the other half is of unseen speakers
  priors = persona_arms.fit(predictions, read, labels, speakers, clips[:half], clips[half:])
  known = priors, predictions, read, labels, own
  persona = jax.jit(jax.vmap(functools.partial(_persona, *known)))
  supports = np.random.default_rng(0).integers(0, _OWN, (_BATCHED, _SHOTS))
  persona_s = benchmark.median_s(lambda: jax.block_until_ready(persona(supports)), repeats)
  persona_s /= _BATCHED
  person = persona_arms.nobody(priors)
  return dict(
    shape=PERSON,
    layers=config.model.num_layers,
    shots=_SHOTS,
    device=jax.devices()[0].device_kind,
    **{f'{_STUDENT}_s': float(f'{fine_tuned_s:.3g}'), f'{_ARM}_s': float(f'{persona_s:.3g}')},
    times_faster=round(fine_tuned_s / persona_s),
    bytes_per_person=sum(leaf.nbytes for leaf in map(jnp.asarray, jax.tree.leaves(person))),
  )


def _persona(priors, predictions, read, labels, own, support) -> Any:
  """`Sentiment` of the clips `own` [n], of a person known by the clips `support` [K]."""
  person = persona_arms.observe(
    priors, predictions[support], read[support], labels[support], jnp.ones(len(support))
  )
  return persona_arms.sentiment(_ARM, priors, person, predictions[own], read[own])
