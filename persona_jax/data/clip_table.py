"""A corpus from a CSV of clips with .npy files, as `persona_jax.data.own_clips` describes it.

Every clip needs a label. Its speaker is the line's user; a line without one counts by its video, or
where the clip is not called `video[index]`, by the clip itself.
"""

import pathlib

import numpy as np

from persona_jax import targets
from persona_jax.data import own_clips
from persona_jax.data.corpus import Corpus
from persona_jax.data.gathering import Clip, Gathered, video_and_index
from persona_jax.data.resample import Sampling
from persona_jax.types import Config


def load(config: Config, path: pathlib.Path) -> Corpus:
  """The corpus of a table.

  Raises:
    UserError: there is no such table, or no clip of it can be used.
  """
  modalities, steps = config.model.modalities, config.data.max_steps
  widths = own_clips.widths_of(path, modalities)
  lines, left_out = own_clips.read_lines(path, widths, targets.of(config))
  gathered = Gathered(config)
  for where, reason in left_out.items():
    gathered.leave_out(where, reason)
  num_cut = dict.fromkeys(modalities, 0)
  for line in lines:
    if np.isnan(line.label):
      gathered.leave_out(line.name, 'it has no label')
      continue
    for m, frames in line.frames.items():
      num_cut[m] += len(frames) > steps[m]
    video, _ = video_and_index(line.name) or (line.name, 0)
    frames = {m: each[: steps[m]] for m, each in line.frames.items()}
    gathered.add(Clip(line.name, video, line.label, frames, speaker=line.user))
  return gathered.corpus(
    path,
    pathlib.Path(config.data.root) / config.data.speakers if config.data.speakers else None,
    [f'{path.name}, {m}: clips cut to {steps[m]} steps: {n}.' for m, n in num_cut.items() if n],
    {m: Sampling(None, None, n) for m, n in num_cut.items()},
  )
