"""A folder of people: a file per person and arm, read when needed and changed under a lock."""

import contextlib
import fcntl
import pathlib
import urllib.parse
from collections.abc import Iterator

from persona_jax.errors import UserError

BAYES = 'bayes'


def file_name(user: str) -> str:
  """The name of a person's files, without their endings; any name of a person makes one."""
  if not user:
    raise UserError('a clip has no user; name one with --user, or in the column user.')
  return urllib.parse.quote(user, safe=' ').replace('.', '%2E')


class People:
  """The files of a folder, by the names of the people.

  Attributes:
    arm: by which the people are known.
  """

  def __init__(self, folder: pathlib.Path | str, arm: str = BAYES):
    self._folder, self.arm = pathlib.Path(folder), arm

  def path(self, user: str) -> pathlib.Path:
    """The file of a person."""
    return self._folder / f'{file_name(user)}.{self.arm}.safetensors'

  def knows(self, user: str) -> bool:
    return bool(user) and self.path(user).exists()

  @contextlib.contextmanager
  def changing(self, user: str) -> Iterator[pathlib.Path]:
    """The person's file, while no other process changes it; others wait.

    Raises:
      UserError: the folder cannot be made or written.
    """
    path = self.path(user)
    try:
      self._folder.mkdir(parents=True, exist_ok=True)
      lock = (self._folder / f'.{path.name}.lock').open('a')
    except OSError as error:
      raise UserError(
        f'{self._folder}: cannot be made or written ({error.strerror}); name another --users.'
      ) from error
    with lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      yield path
