"""How saved items that cannot be read are handled: set aside only where damage is proven."""

import logging
import pathlib

from persona_jax.errors import UserError
from persona_jax.runtime import parallel

_LOG = logging.getLogger(__name__)


class Damaged(ValueError):
  """The content is not what was saved."""


def set_aside(folder: pathlib.Path, checkpoints: pathlib.Path, name: str, error: Exception) -> None:
  """Moves a damaged folder to `checkpoints/damaged/<name>-<number>`, and says so."""
  aside = checkpoints / 'damaged'
  target = aside / f'{name}-{len(list(aside.glob(f"{name}-*")))}'
  _LOG.warning('%s is damaged (%s); set aside as %s.', folder, reason(error), target)
  if parallel.is_primary_process():
    aside.mkdir(exist_ok=True)
    folder.rename(target)


def can_be_read(folder: pathlib.Path) -> bool:
  """Whether the operating system gives every file of a folder, whatever is in it."""
  try:
    return folder.is_dir() and all(
      path.read_bytes() is not None for path in folder.rglob('*') if path.is_file()
    )
  except OSError:
    return False


def unreadable(folder: pathlib.Path, error: Exception) -> UserError:
  """Returns the error for an item that may be intact."""
  return UserError(
    f'{folder}: cannot be read at present ({reason(error)}); it is left unchanged. '
    'Remove the cause, and run the same command again.'
  )


def unsaved(folder: pathlib.Path, error: Exception) -> UserError:
  """Returns the error for a save that failed."""
  return UserError(
    f'{folder}: cannot be saved ({reason(error)}). What was saved before is intact; '
    'free disk space or fix permissions, and run the same command again.'
  )


def other_format(folder: pathlib.Path, found: int, expected: int) -> UserError:
  """Returns the error for an item that another version saved."""
  return UserError(
    f'{folder}: a checkpoint of format {found}, this version of persona_jax reads format '
    f'{expected}; go on with the version that wrote it, or name another --workdir.'
  )


def reason(error: Exception) -> str:
  """The last clause of an error; TensorStore puts the cause there, after paths and addresses."""
  text = ' '.join(str(error).split()).split(' [tensorstore_spec')[0]
  return text.rsplit(': ', 1)[-1][:200] or type(error).__name__
