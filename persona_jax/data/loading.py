"""From `config.data` to a corpus: one loader per format."""

from persona_jax.data import cmu, synthetic
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
  return cmu.load(config)
