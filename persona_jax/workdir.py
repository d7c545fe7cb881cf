"""The folder of one run: what it was asked for, on what, and where."""

import contextlib
import fcntl
import os
import pathlib
import platform
import subprocess
from importlib import metadata
from typing import Any, Collection, Iterator, TextIO

import jax
import ml_collections

from persona_jax import config as configuration, parallel, provenance
from persona_jax.arms import BASELINE
from persona_jax.data import corpus as data_corpus
from persona_jax.data.corpus import Corpus
from persona_jax.data.plan import Plan
from persona_jax.errors import UserError
from persona_jax.reporting import records
from persona_jax.reporting.records import CONFIG, CORPUS, ENVIRONMENT

LOCK = '.lock'
_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy', 'scipy', 'scikit-learn')


def expect_free(workdir: pathlib.Path) -> None:
  """Raises `UserError` if another run holds the folder; nothing is written."""
  if not parallel.writes():  # the process that writes is of the same run
    return
  with contextlib.suppress(FileNotFoundError, NotADirectoryError), (workdir / LOCK).open() as lock:
    _take(lock, fcntl.LOCK_SH)


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
    _take(lock, fcntl.LOCK_EX)
    lock.truncate(0)
    lock.write(f'process {os.getpid()} on {platform.node()}\n')
    lock.flush()
    yield
    lock.truncate(0)


def _take(lock: TextIO, how: int) -> None:
  try:
    fcntl.flock(lock, how | fcntl.LOCK_NB)
  except BlockingIOError as error:
    raise UserError(f'{pathlib.Path(lock.name).parent}: in use by '
                    f'{lock.read().strip() or "another process"}; wait for it, stop it, or name another '
                    '--workdir.') from error


def _opened(lock: pathlib.Path) -> TextIO:
  try:
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = lock.open('a+')
  except OSError as error:
    raise UserError(f'{lock.parent}: cannot be made or written ({error.strerror}); name another '
                    '--workdir.') from error
  file.seek(0)
  return file


def begin(workdir: pathlib.Path, config: ml_collections.ConfigDict, corpus: Corpus, plan: Plan) -> None:
  """Writes what the run is: `config.json`, `environment.json`, `corpus.json`; one process does."""
  if parallel.writes():
    records.write_json(workdir / CONFIG, provenance.plain(config))
    records.write_json(workdir / ENVIRONMENT,
                       environment() | {'config_hash': provenance.config_hash(config)})
    records.write_json(workdir / CORPUS, _corpus_summary(corpus, plan))


def stages_done(workdir: pathlib.Path) -> list[str]:
  """The stages that the folder holds results of."""
  folders = {provenance.TRAINING: ('pretrain/*/[0-9]*', 'teachers/*'),
             provenance.PERSONALISING: ('adapt/*/[0-9]*', 'personal/*')}
  return [stage for stage, patterns in folders.items()
          if any(any((workdir / 'checkpoints').glob(pattern)) for pattern in patterns)]


def expect_config(workdir: pathlib.Path, config: ml_collections.ConfigDict,
                  stages: Collection[str] = provenance.STAGES) -> None:
  """Raises `UserError`, naming the fields, if results of `stages` in the folder had another config."""
  begun = records.read_json(workdir / CONFIG)
  differing = {field: values
               for field, values in provenance.differing_fields(begun, provenance.plain(config)).items()
               if provenance.stage(field) in stages}
  if differing:
    listed = '; '.join(f'config.{field} is {there} there and {now} now'
                       for field, (there, now) in differing.items())
    raise UserError(f'{workdir / CONFIG}: this workdir was begun with another config; '
                    f'{listed}. Name another --workdir, or the same config.')


def expect_corpus(workdir: pathlib.Path, corpus: Corpus) -> None:
  """Raises `UserError`, naming the parts, unless the folder was begun with the same data."""
  begun = records.read_json(workdir / CORPUS).get('fingerprint', {})
  fingerprint = data_corpus.fingerprint(corpus)
  differing = [part for part in sorted(set(begun) | set(fingerprint))
               if begun.get(part) != fingerprint.get(part)]
  if differing:
    raise UserError(f'{workdir / CORPUS}: this workdir was begun with other data; '
                    f'{", ".join(differing)} differ. Name another --workdir, or the same files.')


def expect_no_less(workdir: pathlib.Path, config: ml_collections.ConfigDict, plan: Plan) -> None:
  """Raises `UserError` if the folder has a record that the study asked for would not have."""
  if not (workdir / records.RECORDS).exists():
    return
  study, folds = config.study, {(fold.user, fold.seed) for fold in plan.chosen}
  for record in records.read([workdir]):
    shots = (study.num_support,) if record['arm'] == BASELINE else configuration.shots(config)
    missing = (
        f"user {record['user']}, seed {record['seed']}" if (record['user'], record['seed']) not in folds
        else f"arm {record['arm']}" if record['arm'] not in study.arms
        else f"draw {record['draw']}" if record['draw'] >= study.num_draws
        else f"{record['num_support']} support clips" if record['num_support'] not in shots else '')
    if missing:
      raise UserError(f'{workdir / records.RECORDS}: has records of {missing}, which this config leaves '
                      'out; ask for no less than before (config.study), or name another --workdir.')


def batches_begun(workdir: pathlib.Path) -> int | None:
  """The training steps per epoch of the teachers in the folder, None if it has none."""
  if provenance.TRAINING not in stages_done(workdir):
    return None
  return records.read_json(workdir / CORPUS)['num_batches']


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


def _corpus_summary(corpus: Corpus, plan: Plan) -> dict[str, Any]:
  """What was loaded, what was not and why, and who the study's users are."""
  users = list(dict.fromkeys(fold.user for fold in plan.folds))
  clips_of = dict(data_corpus.users_by_clips(corpus))
  oracle = None
  if corpus.oracle is not None:
    errors = abs(corpus.oracle - corpus.labels)
    oracle = {user: float(errors[[speaker == user for speaker in corpus.speakers]].mean())
              for user in users}
  return dict(
      num_clips=len(corpus.names), num_speakers=len(clips_of),
      users={user: clips_of[user] for user in users},
      sequences={m: list(x.shape) for m, x in corpus.clips.sequences.items()},
      left_out=corpus.left_out, notes=list(corpus.notes), oracle_mae=oracle,
      num_batches=plan.num_batches, fingerprint=data_corpus.fingerprint(corpus))
