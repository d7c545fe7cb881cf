"""Batches of odd sizes and lengths: few programs, and the same predictions from each."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strangers import adapted, assert_alike, clips_of

from persona_jax.errors import UserError
from persona_jax.predictor import batches
from persona_jax.predictor.predictor import Predictor
from persona_jax.types import Clips


def fresh(predictor: Predictor, **model) -> Predictor:
  """The same predictor, with programs of its own, and perhaps other settings of its model."""
  config = predictor.config.copy_and_resolve_references()
  config.model.update(model)
  return dataclasses.replace(predictor, config=config)


def longer(clips: Clips, steps: int) -> Clips:
  """Clips with padding to a number of steps."""

  def pad(x):
    return np.pad(x, [(0, 0), (0, steps - x.shape[1])] + [(0, 0)] * (x.ndim - 2))

  return Clips(*({m: pad(x) for m, x in part.items()} for part in clips))


def of_steps(steps: dict[str, int], count: int) -> Clips:
  return Clips(
    {m: np.ones((count, length, 2), np.float32) for m, length in steps.items()},
    {m: np.ones((count, length), bool) for m, length in steps.items()},
  )


TRAINED = dict(language=50, audio=375, vision=1)


@pytest.mark.parametrize(
  'found, padded',
  [
    (dict(language=1, audio=1, vision=1), dict(language=7, audio=47, vision=1)),
    (dict(language=7, audio=48, vision=0), dict(language=13, audio=94, vision=1)),
    (dict(language=26, audio=9, vision=1), dict(language=50, audio=375, vision=1)),
    (dict(language=51, audio=375, vision=1), dict(language=100, audio=750, vision=2)),
  ],
)
def test_modalities_are_padded_to_the_same_share_of_the_steps_in_training(found, padded):
  """To an eighth, a fourth, all or twice of the steps; and a 0 or False where nothing was."""
  clips = batches.padded(of_steps(found, 3), 8, TRAINED)
  for modality, steps in padded.items():
    assert clips.sequences[modality].shape == (8, steps, 2)
    assert clips.sequences[modality].sum() == 2 * clips.masks[modality].sum()
    assert clips.masks[modality].sum() == 3 * found[modality]


@given(
  st.lists(
    st.tuples(st.integers(1, 64), st.integers(1, 50), st.integers(1, 375), st.integers(0, 1)),
    min_size=200,
    max_size=200,
  )
)
@settings(deadline=None, max_examples=5)
def test_a_stream_of_odd_batches_has_few_shapes(stream):
  """Four sizes (8 to 64) times four lengths (an eighth to all), for any lengths of modalities."""
  shapes = set()
  for count, *lengths in stream:
    found = dict(zip(TRAINED, lengths, strict=True))
    clips = batches.padded(of_steps(found, count), batches.bucket(count), TRAINED)
    shapes.add(tuple(x.shape for x in clips.sequences.values()))
  assert len(shapes) <= 16


def test_a_stream_of_odd_batches_compiles_a_handful_of_programs(predictor, strangers):
  """40 batches of 1 to 16 clips, 1 to 16 people and odd lengths: two sizes, and two lengths."""
  counted, random = fresh(predictor), np.random.default_rng(0)
  people = [adapted(counted, strangers, 14 * number + np.arange(5)) for number in range(16)]
  full = counted.steps['language']
  counts = [*range(1, 17), *random.integers(1, 17, 24)]
  for count in counts:
    length = int(random.integers(full // 2 + 1, 2 * full))
    clips = longer(clips_of(strangers, random.integers(0, 300, count)), max(full, length))
    counted.predict_mixed(clips, people, random.integers(0, 16, count))
  assert counted._programs.answer._cache_size() == 4


@given(st.integers(1, 40), st.integers(0, 70))
@settings(deadline=None, max_examples=12)
def test_a_prediction_does_not_depend_on_the_bucket(predictor, strangers, count, more):
  """One clip alone, and the first of `count` clips that are padded by `more` steps."""
  person = adapted(predictor, strangers, np.arange(5))
  alone = predictor.predict(clips_of(strangers, [20]), person)
  clips = clips_of(strangers, 20 + np.arange(count))
  together = predictor.predict(longer(clips, clips.masks['language'].shape[1] + more), person)
  assert_alike([values[:1] for values in together], alone, 1e-6)


def test_a_model_that_attends_to_padding_has_the_length_of_training_alone(predictor, strangers):
  """Its predictions depend on the length, which is therefore that of training."""
  reference, steps = fresh(predictor, attention='reference'), predictor.steps['language']
  clips = clips_of(strangers, np.arange(9))
  short = Clips(*({m: x[:, :3] for m, x in part.items()} for part in clips))
  assert_alike(reference.predict(short), reference.predict(longer(short, steps)), 1e-6)
  with pytest.raises(UserError, match=f'language of {steps + 1} steps, expected at most {steps}'):
    reference.predict(longer(clips, steps + 1))


def test_more_clips_than_one_program_holds(predictor, strangers, monkeypatch):
  clips = clips_of(strangers, np.arange(40))
  whole = predictor.predict(clips)
  monkeypatch.setattr(batches, 'LARGEST', 16)
  assert_alike(predictor.predict(clips), whole)
