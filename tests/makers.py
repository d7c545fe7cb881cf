"""Small configs, corpora and files that tests are made on."""

import pathlib

import h5py
import numpy as np
import pooling

from configs import synthetic
from persona_jax.data.buckets import single
from persona_jax.data.corpus import Corpus
from persona_jax.data.joining import join_clips
from persona_jax.model import predict
from persona_jax.types import Clips

MOSI_FILES = dict(
  labels='CMU_MOSI_Opinion_Labels.csd',
  language='CMU_MOSI_TimestampedWordVectors.csd',
  audio='CMU_MOSI_openSMILE_utterance.csd',
  vision='CMU_MOSI_Visual_3DCNN_utterance.csd',
)


# The flags of `smallest_config`.
SMALLEST = [
  '--config=configs/synthetic.py:smoke',
  f'--config.model.name={pooling.NAME}',
  "--config.model.modalities=('language',)",
]


def smallest_config(**study):
  """A smoke study that compiles in seconds: one modality, and a base model without attention."""
  config = synthetic.get_config('smoke')
  config.model.update(name=pooling.NAME, modalities=('language',))
  config.study.update(study)
  return config


def smallest_grouped(**study):
  """`smallest_config` with three held-out groups, and enough speakers to learn how they differ."""
  config = smallest_config(**dict(protocol='grouped', num_groups=3, num_draws=2) | study)
  config.pretrain.update(validation='speakers', valid_speakers=0.3)
  config.data.update(num_speakers=24, clips_per_speaker=14)
  return config


def write_csd(
  path: pathlib.Path, videos: dict[str, tuple[np.ndarray, np.ndarray]], root: str = 'any root'
) -> pathlib.Path:
  """Writes {video: (features [n, D], intervals [n, 2])} as a computational sequence."""
  with h5py.File(path, 'w') as file:
    for video, (features, intervals) in videos.items():
      group = file.create_group(f'{root}/data/{video}')
      group['features'], group['intervals'] = features, intervals
  return path


def write_corpus(root: pathlib.Path, clips_of: dict[str, int]) -> dict[str, str]:
  """Writes a CMU-MOSI in small: {video: clips} of 2 s, frames at three rates and widths."""
  random = np.random.default_rng(0)
  files = dict(labels='y.csd', language='words.csd', audio='covarep.csd', vision='facet.csd')
  shapes = {'language': (2, 5), 'audio': (12.5, 74), 'vision': (15, 47)}
  spans = {v: np.arange(n)[:, None] * 2.0 + [0, 2] for v, n in clips_of.items()}
  write_csd(
    root / files['labels'],
    {v: (random.uniform(-3, 3, (len(s), 1)).round(1), s) for v, s in spans.items()},
  )
  for modality, (rate, width) in shapes.items():
    videos = {}
    for video, span in spans.items():
      starts = np.arange(0, span[-1, 1], 1 / rate)
      videos[video] = (
        random.normal(size=(len(starts), width)).astype(np.float32),
        np.stack([starts, starts + 1 / rate], axis=1),
      )
    write_csd(root / files[modality], videos)
  return files


def break_file(checkpoint: pathlib.Path, how: str, which: int | None = None) -> pathlib.Path:
  """Truncates one file of a saved step, or flips one bit of it; by default of its largest."""
  files = sorted(
    (path for path in checkpoint.rglob('*') if path.is_file()),
    key=lambda path: (path.stat().st_size, path),
  )
  path = files[-1 if which is None else which]
  content = bytearray(path.read_bytes())
  if how == 'truncated':
    content = content[: len(content) // 2]
  else:
    content[len(content) // 2] ^= 16
  path.write_bytes(content)
  return path


def corpus_of(counts: dict[str, int]) -> Corpus:
  """{speaker: number of clips}, with a zero in each clip."""
  speakers = tuple(speaker for speaker, count in counts.items() for _ in range(count))
  return Corpus(
    names=tuple(f'{speaker}[{place}]' for place, speaker in enumerate(speakers)),
    speakers=speakers,
    labels=np.zeros(len(speakers), np.float32),
    clips=join_clips([{'language': np.zeros((1, 1))} for _ in speakers], {'language': 1}),
    left_out={},
    notes=(),
  )


def everything(corpus: Corpus) -> Clips:
  """All clips of a corpus, padded with zeros to the longest."""
  return corpus.clips.at(np.arange(len(corpus.names)))


def predicted(function, params, normaliser, corpus: Corpus, indices):
  """`function(params, clips)` of clips of a corpus, in one bucket; such as `predict.predict`."""
  return predict.at_once(
    function, params, corpus.clips, normaliser, np.asarray(indices), single(corpus.clips)
  )


def grouped_config(**study):
  """A smoke study of three held-out groups, with five support clips."""
  config = synthetic.get_config('grouped,smoke')
  config.study.update(dict(num_groups=3, num_support=5) | study)
  return config
