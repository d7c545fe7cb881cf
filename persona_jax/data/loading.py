"""From `config.data` to a corpus: one loader per kind of data."""

from persona_jax.data import cmu, synthetic
from persona_jax.data.corpus import Corpus
from persona_jax.types import Config


def load(config: Config) -> Corpus:
  """Loads the corpus that `config.data` describes: synthetic, or CMU-MOSI's files.

  Raises:
    UserError: a file or field is not as expected.
  """
  return (synthetic if config.data.name == 'synthetic' else cmu).load(config)
