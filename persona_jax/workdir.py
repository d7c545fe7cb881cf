"""The folder of one run: what it was asked for, on what, and where."""

import contextlib
import fcntl
import os
import pathlib
import platform
import subprocess
from importlib import metadata
from typing import Any, Iterator, Sequence, TextIO

import jax
import ml_collections

from persona_jax import parallel, provenance
from persona_jax.data import corpus as data_corpus
from persona_jax.data.corpus import Corpus
from persona_jax.errors import UserError
from persona_jax.reporting import records
from persona_jax.reporting.records import CONFIG, CORPUS, ENVIRONMENT

LOCK = '.lock'
_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy', 'scipy', 'scikit-learn')


@contextlib.contextmanager
def held(workdir: pathlib.Path) -> Iterator[None]:
  """Makes the folder, and keeps other writers out of it until the block or the process ends.

  The lock is the system's (flock), so that a process that dies leaves none behind. Of several
  processes of one run, the one that writes holds it.

  Raises:
    UserError: another process holds the folder, or it cannot be made or written.
  """
  if not parallel.writes():
    yield
    return
  with _opened(workdir / LOCK) as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise UserError(f'{workdir}: in use by {lock.read().strip() or "another process"}; wait for it, '
                      'stop it, or name another --workdir.') from error
    lock.truncate(0)
    lock.write(f'process {os.getpid()} on {platform.node()}\n')
    lock.flush()
    yield
    lock.truncate(0)


def _opened(lock: pathlib.Path) -> TextIO:
  try:
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = lock.open('a+')
  except OSError as error:
    raise UserError(f'{lock.parent}: cannot be made or written ({error.strerror}); name another '
                    '--workdir.') from error
  file.seek(0)
  return file


def begin(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
  """Notes what the run is, or checks that the folder was begun with the same config.

  Raises:
    UserError: it holds another config's run.
  """
  if (workdir / CONFIG).exists():
    expect_config(workdir, config)
  if parallel.writes():
    records.write_json(workdir / CONFIG, provenance.plain(config))
    records.write_json(workdir / ENVIRONMENT, environment() | {'config_hash': provenance.config_hash(config)})


def expect_config(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
  """Raises `UserError`, naming the fields, unless the folder was begun with the same config."""
  differing = provenance.differing_fields(records.read_json(workdir / CONFIG), provenance.plain(config))
  if differing:
    listed = '; '.join(f'config.{field} is {there} there and {now} now'
                       for field, (there, now) in differing.items())
    raise UserError(f'{workdir / CONFIG}: this workdir was begun with another config; '
                    f'{listed}. Name another --workdir, or the same config.')


def expect_corpus(workdir: pathlib.Path, fingerprint: dict[str, str]) -> None:
  """Raises `UserError`, naming the parts, unless the folder was begun with the same data."""
  begun = records.read_json(workdir / CORPUS).get('fingerprint', {})
  differing = [part for part in sorted(set(begun) | set(fingerprint))
               if begun.get(part) != fingerprint.get(part)]
  if differing:
    raise UserError(f'{workdir / CORPUS}: this workdir was begun with other data; '
                    f'{", ".join(differing)} differ. Name another --workdir, or the same files.')


def environment() -> dict[str, Any]:
  """Versions, devices and commit, for whoever wants to know later."""
  return dict(python=platform.python_version(), machine=platform.machine(),
              packages={name: metadata.version(name) for name in _PACKAGES},
              backend=jax.default_backend(),
              devices=[device.device_kind for device in jax.devices()], commit=_commit())


def _commit() -> str | None:
  """The checkout's git commit, '-dirty' where files differ from it; None outside a checkout."""
  here = pathlib.Path(__file__).parent
  try:
    described = subprocess.run(['git', 'describe', '--always', '--abbrev=40', '--dirty'], cwd=here,
                               capture_output=True, text=True, check=True)
  except (OSError, subprocess.CalledProcessError):
    return None
  return described.stdout.strip()


def note_corpus(workdir: pathlib.Path, corpus: Corpus, users: Sequence[str]) -> None:
  """Writes `corpus.json`: what was loaded, what was not and why, and who the study's users are.

  Raises:
    UserError: the folder was begun with other data.
  """
  fingerprint = data_corpus.fingerprint(corpus)
  if (workdir / CORPUS).exists():
    expect_corpus(workdir, fingerprint)
  if not parallel.writes():
    return
  clips_of = dict(data_corpus.users_by_clips(corpus))
  oracle = None
  if corpus.oracle is not None:
    errors = abs(corpus.oracle - corpus.labels)
    oracle = {user: float(errors[[speaker == user for speaker in corpus.speakers]].mean())
              for user in users}
  records.write_json(workdir / CORPUS, dict(
      num_clips=len(corpus.names), num_speakers=len(clips_of),
      users={user: clips_of[user] for user in users},
      sequences={m: list(x.shape) for m, x in corpus.clips.sequences.items()},
      left_out=corpus.left_out, notes=list(corpus.notes), oracle_mae=oracle,
      fingerprint=fingerprint))
