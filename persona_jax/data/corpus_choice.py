"""The loader of corpus files: what of a saved corpus a config asks for."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from persona_jax import targets
from persona_jax.data import corpus_reader, gathering
from persona_jax.data.corpus import Corpus
from persona_jax.data.corpus_reader import Stored
from persona_jax.data.resample import Sampling
from persona_jax.errors import UserError
from persona_jax.types import Config, RaggedClips


def load(config: Config, path: pathlib.Path) -> Corpus:
  """The corpus of a corpus file, whose frames stay there.

  Only where `config.data.dtype` is 'float16' and the file has float32 are frames read into memory.

  Raises:
    UserError: it is damaged, or does not have what the config asks for.
  """
  stored = corpus_reader.read(path, config.model.modalities)
  _expect_fit(config, path, stored)
  corpus = _cut(_cast(stored.corpus, config, path), config.data.max_steps, path)
  return _complete(corpus, config.data.missing, path)


def _expect_fit(config: Config, path: pathlib.Path, stored: Stored) -> None:
  target = targets.of(config).name
  if target != stored.target:
    raise UserError(
      f'config.data.target = {config.data.target!r}: {path} has labels of {stored.target}; take '
      f'--config.data.target={stored.target}, or convert the original files with '
      f'--config.data.target={target}.'
    )
  if config.data.speakers:
    raise UserError(
      f'config.data.speakers = {config.data.speakers!r}: {path} names the speakers itself; leave '
      'it empty, or convert the original files with it.'
    )


def _cast(corpus: Corpus, config: Config, path: pathlib.Path) -> Corpus:
  dtype, frames = gathering.frames_dtype(config), dict(corpus.clips.frames)
  for m, found in corpus.clips.frames.items():
    if dtype.itemsize >= found.dtype.itemsize:  # padding makes float32 of float16, without loss
      continue
    cast = np.empty(found.shape, dtype)
    start = 0
    for block in corpus_reader.blocks(np.asarray(found)):
      cast[start : start + len(block)] = gathering.as_dtype(block, dtype, f'{m} of {path}')
      start += len(block)
    frames[m] = cast
  return dataclasses.replace(corpus, clips=corpus.clips._replace(frames=frames))


def _cut(corpus: Corpus, max_steps: Mapping[str, int], path: pathlib.Path) -> Corpus:
  """The corpus with clips of at most so many steps, and their count in sampling and notes."""
  lengths, sampling, notes = {}, dict(corpus.sampling), []
  for m, each in corpus.clips.lengths.items():
    lengths[m] = np.minimum(each, min(max_steps[m], np.iinfo(np.int32).max)).astype(np.int32)
    if num_cut := int((lengths[m] < each).sum()):
      before = sampling.get(m, Sampling(None, None, 0))
      sampling[m] = dataclasses.replace(before, num_cut=num_cut)
      notes.append(f'{path.name}, {m}: clips cut to {max_steps[m]} steps: {num_cut}.')
  clips, notes = corpus.clips._replace(lengths=lengths), (*corpus.notes, *notes)
  return dataclasses.replace(corpus, clips=clips, sampling=sampling, notes=notes)


def _complete(corpus: Corpus, missing: str, path: pathlib.Path) -> Corpus:
  """The corpus without the clips that lack what they need, and notes on those that it has."""
  modalities, lengths = list(corpus.clips.lengths), corpus.clips.lengths
  kept, masked, left_out = [], {}, dict(corpus.left_out)
  for place, name in enumerate(corpus.names):
    lacking = [m for m in modalities if not lengths[m][place]]
    if reason := gathering.missing_problem(lacking, modalities, missing):
      left_out[name] = reason
      continue
    kept.append(place)
    if lacking:
      masked[name] = lacking
  if not kept:
    raise UserError(
      f'{path}: none of its {len(left_out)} clips could be used; the first, '
      f'{next(iter(left_out.items()))}; look at config.data.missing and config.model.modalities.'
    )
  notes = [note for note in corpus.notes if not gathering.is_note_on_clips(note)]
  corpus = _at(corpus, kept) if len(kept) < len(corpus.names) else corpus
  return dataclasses.replace(
    corpus, left_out=left_out, notes=(*notes, *gathering.notes_on_clips(masked, left_out))
  )


def _at(corpus: Corpus, places: Sequence[int]) -> Corpus:
  """The clips at `places`; the frames of the others stay where they are."""
  clips = corpus.clips
  return dataclasses.replace(
    corpus,
    names=tuple(corpus.names[place] for place in places),
    speakers=tuple(corpus.speakers[place] for place in places),
    labels=corpus.labels[places],
    clips=RaggedClips(
      clips.frames,
      {m: starts[places] for m, starts in clips.starts.items()},
      {m: lengths[places] for m, lengths in clips.lengths.items()},
    ),
    oracle=None if corpus.oracle is None else corpus.oracle[places],
  )
