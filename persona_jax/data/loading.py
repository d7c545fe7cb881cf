"""From `config.data` to a corpus: one loader per format."""

import pathlib
from collections.abc import Sequence

from persona_jax.data import (
  clip_table,
  cmu,
  corpus_choice,
  mmsa_pickle,
  mult_pickle,
  pickle_splits,
  source_files,
  synthetic,
)
from persona_jax.data.corpus import Corpus
from persona_jax.errors import UserError
from persona_jax.types import Config


def load(config: Config) -> Corpus:
  """Loads the corpus that `config.data` describes.

  Raises:
    UserError: a file or field is not as expected.
  """
  if config.data.name == 'synthetic':
    return synthetic.load(config)
  if not config.data.root:
    raise UserError(
      'config.data.root is empty: point it at the folder with the data files, '
      'for example --config.data.root=DIR.'
    )
  if not config.data.file:
    _expect_format(config, 'config.data.file is empty, which names four .csd files', ('', 'csd'))
    return cmu.load(config)
  return _of_file(config, pathlib.Path(config.data.root) / config.data.file)


def _of_file(config: Config, path: pathlib.Path) -> Corpus:
  """The corpus of one file that holds everything: our own, a pickle or a table."""
  kind = source_files.kind(path)
  if kind == source_files.HDF5:
    _expect_format(config, f'{path} is an HDF5 file', ('', 'corpus'))
    return corpus_choice.load(config, path)
  if kind == source_files.TABLE:
    _expect_format(config, f'{path} looks like a table', ('', 'clips'))
    return clip_table.load(config, path)
  _expect_format(config, f'{path} is a pickle', ('', 'mult', 'mmsa'))
  splits = pickle_splits.read(path)
  is_mmsa = mmsa_pickle.LABELS in splits[0].fields
  found = config.data.format or ('mmsa' if is_mmsa else 'mult')
  return (mmsa_pickle if found == 'mmsa' else mult_pickle).load(config, splits)


def _expect_format(config: Config, found: str, expected: Sequence[str]) -> None:
  if config.data.format not in expected:
    raise UserError(
      f'config.data.format = {config.data.format!r}: {found}; expected '
      f'{" or ".join(map(repr, expected[1:]))}, or nothing.'
    )
