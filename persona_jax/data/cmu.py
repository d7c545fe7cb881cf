"""CMU-MOSI and CMU-MOSEI as computational sequences: a file of labels, and one per modality."""

import contextlib
import pathlib
from collections.abc import Mapping

import numpy as np

from persona_jax import targets
from persona_jax.data import label_file
from persona_jax.data.corpus import Corpus
from persona_jax.data.gathering import Clip, Gathered
from persona_jax.data.modality import ModalityReader
from persona_jax.runtime.progress import Progress
from persona_jax.types import Config


def load(config: Config) -> Corpus:
  """Loads labels and one .csd file per modality, one video at a time.

  Raises:
    UserError: a file is missing or malformed, or no clip is left.
  """
  data, modalities = config.data, config.model.modalities
  root = pathlib.Path(data.root)
  labels = label_file.read(root / data.labels, targets.of(config))
  gathered = Gathered(config)
  for name, reason in labels.left_out:
    gathered.leave_out(name, reason)
  with contextlib.ExitStack() as stack:
    readers = {
      m: stack.enter_context(
        ModalityReader(root / data[m], data.max_steps[m], data.frames_per_second[m])
      )
      for m in modalities
    }
    _cut(labels, readers, gathered)
    return gathered.corpus(
      root / data.labels,
      root / data.speakers if data.speakers else None,
      [*labels.notes, *(note for reader in readers.values() for note in reader.notes())],
      {m: reader.sampling() for m, reader in readers.items()},
    )


def _cut(
  labels: label_file.Labels, readers: Mapping[str, ModalityReader], gathered: Gathered
) -> None:
  """Cuts every labelled clip out of the files, one video at a time."""
  with Progress('reading', len(labels.clips), 'videos') as progress:
    for video, clips in labels.clips.items():
      names = [clip.name for clip in clips]
      intervals = np.stack([clip.interval for clip in clips])
      frames = {m: reader.frames(video, names, intervals) for m, reader in readers.items()}
      for place, clip in enumerate(clips):
        gathered.add(Clip(clip.name, video, clip.label, {m: frames[m][place] for m in readers}))
      progress.advance()
