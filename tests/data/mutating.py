"""What tests of changed files share: how arrays are changed, and what may come of it."""

import pathlib
import resource
import shutil
import tracemalloc

import numpy as np
import writers
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from persona_jax.data import loading
from persona_jax.errors import UserError

MUTATED = settings(
  max_examples=30,
  deadline=None,
  derandomize=True,
  suppress_health_check=list(HealthCheck),
)


def size_of(root):
  return sum(path.stat().st_size for path in root.rglob('*') if path.is_file())


def outcome(config):
  """Loads, and checks what came of it; returns the corpus, or None after a sentence."""
  root = pathlib.Path(config.data.root)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  tracemalloc.start()
  corpus = None
  try:
    corpus = loading.load(config)
  except UserError as error:
    text = str(error)
    assert str(root) in text and '\n' not in text and text[-1] in '.?', text
    assert len(text) < 2000
  finally:
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
  grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
  assert max(peak, grown) < 3 * size_of(root) + 200e6
  if corpus is not None:
    assert len(set(corpus.names)) == len(corpus.names) > 0
    assert not set(corpus.names) & set(corpus.left_out)
    assert (np.abs(corpus.labels) <= 3).all() and all(corpus.left_out.values())
    for frames in writers.frames_of(corpus):
      assert all(np.isfinite(sequence).all() for sequence in frames.values())
      assert any(len(sequence) for sequence in frames.values())
  return corpus


def copied(config, folder):
  """The files of a config in an empty folder."""
  shutil.rmtree(folder, ignore_errors=True)
  shutil.copytree(config.data.root, folder)
  config = config.copy_and_resolve_references()
  config.data.root = str(folder)
  return config


NUMBERS = (np.nan, np.inf, -np.inf, 0, -0.5, 3.5, 1e300)
TYPES = ('f2', 'f4', '>f8', 'i1', 'u8', 'S3', 'U2', 'O', 'c8', '?')


def changed(data, array):
  """An array in another state: other numbers, shape or type."""
  how = data.draw(st.sampled_from(['value', 'rows', 'axes', 'type', 'empty', 'scalar', 'wide']))
  if how == 'value' and array.size and array.dtype.kind == 'f':
    array = array.copy()
    with np.errstate(over='ignore'):
      array.flat[data.draw(st.integers(0, array.size - 1))] = data.draw(st.sampled_from(NUMBERS))
  elif how == 'rows':
    array = array[: data.draw(st.integers(0, len(array)))]
  elif how == 'axes':
    array = array.reshape(-1) if data.draw(st.booleans()) else array[None]
  elif how == 'type':
    kind = data.draw(st.sampled_from(TYPES))
    with np.errstate(all='ignore'):
      array = np.array(array.tolist(), object).astype(str).astype(kind) if kind in 'SUO' else array
      array = array.astype(kind) if array.dtype.kind in 'fiu' else array
  elif how == 'empty':
    array = array[:0]
  elif how == 'scalar':
    array = np.array(0.5)
  elif how == 'wide':
    array = np.concatenate([array, array], axis=-1)
  return array
