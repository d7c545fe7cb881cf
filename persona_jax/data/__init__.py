"""From files to index arrays; `save_corpus` and `load_corpus` are of our own corpus file."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from persona_jax.data.corpus_file import load_corpus, save_corpus

__all__ = ['load_corpus', 'save_corpus']


def __getattr__(name: str) -> Any:
  """Imports a door when it is first used."""
  if name not in __all__:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  from persona_jax.data import corpus_file

  return getattr(corpus_file, name)
