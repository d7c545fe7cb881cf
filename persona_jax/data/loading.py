"""From `config.data` to a corpus: one loader per format."""

import pathlib
from collections.abc import Sequence

from persona_jax.data import clip_table, cmu, mmsa_pickle, mult_pickle, pickle_splits, synthetic
from persona_jax.data.corpus import Corpus
from persona_jax.errors import UserError
from persona_jax.types import Config

_HDF5, _PICKLE = b'\x89HDF\r\n\x1a\n', b'\x80'


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
  """The corpus of one file that holds everything, a pickle or a table."""
  kind = _kind(path)
  if kind == 'table':
    _expect_format(config, f'{path} looks like a table', ('', 'clips'))
    return clip_table.load(config, path)
  _expect_format(config, f'{path} is a pickle', ('', 'mult', 'mmsa'))
  splits = pickle_splits.read(path)
  is_mmsa = mmsa_pickle.LABELS in splits[0].fields
  found = config.data.format or ('mmsa' if is_mmsa else 'mult')
  return (mmsa_pickle if found == 'mmsa' else mult_pickle).load(config, splits)


def _kind(path: pathlib.Path) -> str:
  """'pickle' or 'table', by the first bytes."""
  try:
    with path.open('rb') as file:
      start = file.read(8)
  except OSError as error:
    raise UserError(f'{path}: cannot be read ({error.strerror}); see config.data.file.') from error
  if start == _HDF5:
    raise UserError(
      f'{path}: an HDF5 file; name computational sequences by config.data.labels, '
      '.language, .audio and .vision, and leave config.data.file empty.'
    )
  return 'pickle' if start[:1] == _PICKLE else 'table'


def _expect_format(config: Config, found: str, expected: Sequence[str]) -> None:
  if config.data.format not in expected:
    raise UserError(
      f'config.data.format = {config.data.format!r}: {found}; expected '
      f'{" or ".join(map(repr, expected[1:]))}, or nothing.'
    )
