import numpy as np

from persona_jax import config as config_lib
from persona_jax.data import normalize
from persona_jax.data.joining import join_clips

AUDIO = config_lib.paper().normalise
AUDIO.modalities = ('audio',)


def corpus_of(rows, masks=None):
  sequence = np.array(rows, np.float32)
  mask = np.ones(sequence.shape[:2], bool) if masks is None else np.array(masks)
  clips = [
    {m: x[kept] for m in ('language', 'audio')} for x, kept in zip(sequence, mask, strict=True)
  ]
  return join_clips(clips, {m: sequence.shape[2] for m in ('language', 'audio')})


def sequences(clips, modality):
  """[N, T, D] of all clips."""
  return clips.at(np.arange(len(clips.lengths[modality]))).sequences[modality]


def test_frames_a_few_clips_at_a_time_give_the_bits_of_all_at_once(monkeypatch):
  random = np.random.default_rng(0)
  frames = [{'audio': random.lognormal(size=(int(n), 3)).astype(np.float32)} for n in range(20)]
  clips, train = join_clips(frames, {'audio': 3}), random.permutation(20)[:15]
  monkeypatch.setattr(normalize, '_CLIPS_AT_A_TIME', 4)
  fitted = normalize.fit(clips, train, AUDIO)
  whole = np.concatenate([frames[clip]['audio'] for clip in train]).astype(np.float64)
  np.testing.assert_array_equal(fitted.mean['audio'], whole.mean(axis=0).astype(np.float32))
  scale = (AUDIO.deviation / whole.std(axis=0)).astype(np.float32)
  np.testing.assert_array_equal(fitted.inverse_scale['audio'], scale)


def test_standardises_by_the_training_clips_alone():
  clips = corpus_of([[[1.0, 5e5]], [[3.0, 7e5]], [[1000.0, 1e12]]])
  fitted = normalize.fit(clips, np.array([0, 1]), AUDIO)
  scaled = normalize.apply(fitted, 'audio', sequences(clips, 'audio'))
  np.testing.assert_allclose(
    scaled[:2, 0], [[-0.2] * 2, [0.2] * 2], rtol=1e-6
  )  # mean 2, deviation 1
  np.testing.assert_allclose(scaled[2, 0], [0.6] * 2, rtol=1e-6)  # clipped at 3 deviations of 0.2


def test_language_passes_unchanged():
  clips = corpus_of([[[1.0, 500.0]], [[3.0, 700.0]]])
  fitted = normalize.fit(clips, np.array([0, 1]), AUDIO)
  np.testing.assert_array_equal(
    normalize.apply(fitted, 'language', sequences(clips, 'language')), sequences(clips, 'language')
  )


def test_padding_does_not_count():
  clips = corpus_of([[[1.0], [99.0]], [[3.0], [99.0]]], masks=[[True, False], [True, False]])
  assert normalize.fit(clips, np.array([0, 1]), AUDIO).mean['audio'] == 2


def test_constant_columns_become_zero_even_for_a_speaker_who_differs():
  clips = corpus_of([[[0.1, 4.0]], [[0.1, 6.0]], [[8.0, 5.0]]])
  fitted = normalize.fit(clips, np.array([0, 1]), AUDIO)
  scaled = normalize.apply(fitted, 'audio', sequences(clips, 'audio'))
  np.testing.assert_array_equal(scaled[:, 0, 0], [0, 0, 0])


def test_deviation_and_limit_are_the_configs():
  clips = corpus_of([[[1.0]], [[3.0]], [[1000.0]]])
  config = AUDIO.copy_and_resolve_references()
  config.update(deviation=2.0, limit=1.5)
  fitted = normalize.fit(clips, np.array([0, 1]), config)
  scaled = normalize.apply(fitted, 'audio', sequences(clips, 'audio'))
  np.testing.assert_allclose(
    scaled[:, 0, 0], [-2, 2, 3], rtol=1e-6
  )  # mean 2, deviation 1; 1.5 of them
