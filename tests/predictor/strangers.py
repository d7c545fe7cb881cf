"""A predictor's settings, and the clips of people whom it has never met."""

import numpy as np
from makers import smallest_config


def config_of(seed=0):
  config = smallest_config()
  config.pretrain.update(num_epochs=12, learning_rate=1e-2, valid_speakers=0.35)
  config.data.update(num_speakers=24, clips_per_speaker=14, seed=seed)
  return config


def clips_of(corpus, places):
  return corpus.clips.at(places)


def of_speaker(corpus, number):
  name = sorted(set(corpus.speakers))[number]
  return np.flatnonzero(np.array(corpus.speakers) == name)


def adapted(predictor, corpus, places, **how):
  return predictor.adapt(clips_of(corpus, places), corpus.labels[places], **how)


def assert_alike(one, other, tolerance=1e-5):
  for first, second in zip(one, other, strict=True):
    np.testing.assert_allclose(first, second, atol=tolerance)
