"""Our own corpus file: any corpus in one HDF5 file, whose frames are used where they are.

README.md in this folder describes the layout. Frames are stored in one piece, so that a loaded
corpus maps them into memory, and may be larger than that.
"""

import os
import pathlib

import h5py
import numpy as np

from persona_jax import files, targets
from persona_jax.data import corpus as corpus_lib
from persona_jax.data import corpus_about, corpus_reader, origins
from persona_jax.data.corpus import Corpus
from persona_jax.data.corpus_about import Wrong
from persona_jax.data.corpus_reader import FORMAT, FRAMES, LABELS, LENGTHS, VERSION
from persona_jax.runtime import preemption
from persona_jax.types import MODALITIES, Config, RaggedClips


def save_corpus(corpus: Corpus, path: str | os.PathLike[str], config: Config | None = None) -> None:
  """Writes a corpus as one file, or leaves what was there.

  The same corpus and files of origin give the same bytes.

  Args:
    corpus: what to write.
    path: of the file, which is replaced if it exists.
    config: that the corpus was loaded with. The file names its target and the files it came from;
      without it, the labels are sentiment, and nothing is said of where they are from.

  Raises:
    UserError: the corpus has no clip, a value is not finite, a label is out of range, or the file
      cannot be written.
    Preempted: SIGTERM or Ctrl-C came under `runtime.preemption`.
  """
  path = pathlib.Path(path)
  target = targets.SENTIMENT if config is None else targets.of(config)
  provenance = {} if config is None else origins.of(config)
  with corpus_reader.named(path, 'such a corpus cannot be saved'):
    if not corpus.names:
      raise Wrong('names: no clip, expected at least one')
    corpus_reader.expect_labels(corpus.names, corpus.labels, target)
    about = corpus_about.to_json(corpus_about.of_corpus(corpus, target.name, provenance))
    with files.replacing_path(path) as temporary:
      # Aligned, so that frames mapped into memory are.
      with h5py.File(temporary, 'w', alignment_threshold=512, alignment_interval=64) as file:
        file.attrs['format'], file.attrs['version'] = np.bytes_(FORMAT), np.int64(VERSION)
        file['about'] = np.frombuffer(about, np.uint8)
        file['labels'] = np.asarray(corpus.labels, LABELS)
        if corpus.oracle is not None:
          file['oracle'] = np.asarray(corpus.oracle, LABELS)
        for modality in corpus.clips.frames:
          _write_modality(file, corpus.clips, modality)


def load_corpus(path: str | os.PathLike[str]) -> Corpus:
  """Reads what `save_corpus` wrote; frames stay in the file, which must not change meanwhile.

  Raises:
    UserError: it is no such file, of a later version, or damaged.
  """
  return corpus_reader.read(pathlib.Path(path)).corpus


def _write_modality(file: h5py.File, clips: RaggedClips, modality: str) -> None:
  dtype, width = np.dtype(clips.frames[modality].dtype), clips.widths[modality]
  if modality not in MODALITIES or dtype not in FRAMES:
    raise Wrong(
      f'frames/{modality}: {dtype}, expected float32 or float16 of {", ".join(MODALITIES)}'
    )
  file[f'lengths/{modality}'] = np.asarray(clips.lengths[modality], LENGTHS)
  shape = corpus_lib.num_rows(clips, modality), width
  frames = file.create_dataset(f'frames/{modality}', shape, dtype.newbyteorder('<'))
  start = 0
  for rows in corpus_lib.rows_of(clips, modality):
    if preemption.requested():
      raise preemption.Preempted('before the file was whole; nothing is left of it')
    if not np.isfinite(rows).all():
      raise Wrong(f'frames/{modality}: a value is not finite')
    frames[start : start + len(rows)] = rows
    start += len(rows)
