"""The synthetic persona corpus: a small world where personalisation has a known worth.

Every speaker u has a persona, drawn once:

  offset b_u ~ U(-1.3, 1.3)         where this speaker's scores are centred
  gain g_u = exp(U(-0.3, 0.3))      how far they spread
  habit a_um ~ N(0, 0.3^2)          how modality m looks when nothing is felt
  expressiveness e_um ~ U(0.6, 1.4)

Every clip has one latent feeling s ~ N(0, 1.2^2) and three sequences of own lengths T_m. In each,
s shows only during a burst of a third of the steps, anywhere, unaligned between modalities:

  x_mt = a_um c_m + e_um s z_mt d_m + sigma_m noise,   z_mt = 1 in the burst, else 0
  label = round to 0.2 of clip(b_u + g_u s + N(0, 0.6^2), -3, 3)

with fixed unit vectors c_m and d_m [D_m] shared by all speakers, at right angles to each other. So
the feeling can be read from any speaker, but the score cannot: nothing in a new speaker's sequences
reveals b_u and g_u. A model of all speakers must err there, and a few labelled clips can correct
much of the error.

The personas vary about as much as people do. On CMU-MOSI, speakers' mean labels have a variance of
0.67, and labels within a speaker 1.8. Here the offsets have a variance of 0.56, and labels within a
speaker 1.9 before clipping. Offsets and gains are bounded, and a habit is one number per modality
that does not look like a feeling. So a model trained on 29 speakers can hardly memorise their
offsets, and no new speaker is so unusual that one user's error dominates the mean over users.

The *oracle* knows the personas, the directions and the bursts, and sees the same noisy sequences;
it predicts from the posterior mean of s,

  s_hat = sum_mt(z e d.(x - a c) / sigma^2) / (1 / 1.2^2 + sum_mt(z e^2 / sigma^2))

so its error, in expectation, bounds what any personalised predictor can reach here.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from persona_jax.data.corpus import Corpus
from persona_jax.data.gathering import frames_dtype
from persona_jax.data.joining import join_clips
from persona_jax.types import MODALITIES, Config, RaggedClips

WIDTH = {'language': 13, 'audio': 7, 'vision': 11}
STEPS = {'language': (6, 14), 'audio': (12, 30), 'vision': (9, 22)}  # shortest and longest
NOISE = {'language': 0.9, 'audio': 1.3, 'vision': 1.2}
OFFSET, GAIN = 1.3, 0.3  # half-widths of their ranges
HABIT, FEELING, LABEL_NOISE = 0.3, 1.2, 0.6
BURST = 1 / 3


class SyntheticCorpus(NamedTuple):
  """What `make` returns; fields as in `persona_jax.data.corpus.Corpus`."""

  names: tuple[str, ...]
  speakers: tuple[str, ...]
  labels: np.ndarray
  clips: RaggedClips
  oracle: np.ndarray


class _Directions(NamedTuple):
  """Unit vectors [D_m] at right angles: where one modality shows a feeling, and where a habit."""

  feeling: np.ndarray
  habit: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Persona:
  offset: float
  gain: float
  habit: dict[str, float]
  expressiveness: dict[str, float]


def load(config: Config) -> Corpus:
  """Makes the corpus of `config.data`, with the modalities of `config.model`."""
  data = config.data
  made = make(data.seed, data.num_speakers, data.clips_per_speaker)
  modalities, dtype = config.model.modalities, frames_dtype(config)
  clips = RaggedClips(*({m: part[m] for m in modalities} for part in made.clips))
  frames = {m: np.asarray(x).astype(dtype, copy=False) for m, x in clips.frames.items()}
  return Corpus(
    made.names,
    made.speakers,
    made.labels,
    clips._replace(frames=frames),
    left_out={},
    oracle=made.oracle,
    notes=(f'synthetic persona corpus, seed {data.seed}: generated, not measured.',),
  )


def make(seed: int, num_speakers: int, clips_per_speaker: int) -> SyntheticCorpus:
  """Makes the corpus; the same arguments give the same bits.

  Speakers have `clips_per_speaker` clips give or take a quarter. A speaker depends on the seed and
  the own number alone, so a larger corpus contains the smaller one's speakers.
  """
  directions = _directions(seed)
  names, speakers, labels, oracle, rows = [], [], [], [], []
  for number in range(num_speakers):
    random = np.random.default_rng([seed, 1, number])
    persona = _draw_persona(random)
    speaker = f'speaker{number:02d}'
    spread = clips_per_speaker // 4
    for index in range(clips_per_speaker + int(random.integers(-spread, spread + 1))):
      feeling = random.normal(0, FEELING)
      sequences, bursts = _express(random, persona, feeling, directions)
      score = persona.offset + persona.gain * feeling + random.normal(0, LABEL_NOISE)
      names.append(f'{speaker}[{index}]')
      speakers.append(speaker)
      labels.append(np.round(np.clip(score, -3, 3) * 5) / 5)
      oracle.append(_oracle(persona, sequences, bursts, directions))
      rows.append(sequences)
  return SyntheticCorpus(
    tuple(names),
    tuple(speakers),
    np.array(labels, np.float32),
    join_clips(rows, WIDTH),
    np.array(oracle, np.float32),
  )


def _directions(seed: int) -> dict[str, _Directions]:
  random = np.random.default_rng([seed, 0])
  directions = {}
  for m in MODALITIES:
    feeling, habit = random.normal(size=(2, WIDTH[m]))
    feeling = _unit(feeling)
    # The corpus has a fingerprint: fsum and hypot round alike on every machine, a BLAS does not.
    directions[m] = _Directions(feeling, _unit(habit - math.fsum(habit * feeling) * feeling))
  return directions


def _unit(vector: np.ndarray) -> np.ndarray:
  return vector / math.hypot(*vector)


def _draw_persona(random: np.random.Generator) -> _Persona:
  return _Persona(
    offset=random.uniform(-OFFSET, OFFSET),
    gain=math.exp(random.uniform(-GAIN, GAIN)),
    habit={m: random.normal(0, HABIT) for m in MODALITIES},
    expressiveness={m: random.uniform(0.6, 1.4) for m in MODALITIES},
  )


def _express(random, persona, feeling, directions):
  """One clip's sequences {m: [T_m, D_m]} and bursts {m: [T_m] bool}."""
  sequences, bursts = {}, {}
  for m in MODALITIES:
    steps = int(random.integers(STEPS[m][0], STEPS[m][1] + 1))
    length = max(1, round(steps * BURST))
    start = int(random.integers(0, steps - length + 1))
    time = np.arange(steps)
    bursts[m] = (time >= start) & (time < start + length)
    signal = persona.expressiveness[m] * feeling * bursts[m][:, None] * directions[m].feeling
    habit = persona.habit[m] * directions[m].habit
    sequences[m] = habit + signal + random.normal(0, NOISE[m], (steps, WIDTH[m]))
  return sequences, bursts


def _oracle(persona, sequences, bursts, directions) -> float:
  """The prediction of one who knows the persona and the bursts (module docstring)."""
  evidence, precision = 0.0, 1 / FEELING**2
  for m in MODALITIES:
    strength = persona.expressiveness[m] / NOISE[m] ** 2
    residual = (sequences[m] - persona.habit[m] * directions[m].habit) @ directions[m].feeling
    evidence += strength * residual[bursts[m]].sum()
    precision += strength * persona.expressiveness[m] * bursts[m].sum()
  return float(np.clip(persona.offset + persona.gain * evidence / precision, -3, 3))
