"""The folder of one run: what it was asked for, on what, and where."""

import contextlib
import fcntl
import os
import pathlib
import platform
import subprocess
from collections.abc import Collection, Iterator
from importlib import metadata
from typing import Any, TextIO

import jax

from persona_jax import files
from persona_jax.arms import WITHOUT_CLIPS
from persona_jax.data import corpus as corpus_lib
from persona_jax.data.buckets import Epochs
from persona_jax.data.folds import Case
from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.files import CONFIG, CORPUS, ENVIRONMENT, LOCK
from persona_jax.reporting import provenance, records
from persona_jax.runtime import parallel
from persona_jax.types import Config

_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy', 'scipy')


def expect_unlocked(workdir: pathlib.Path) -> None:
  """Raises `UserError` if another run has locked the folder; nothing is written."""
  if not parallel.is_primary_process():  # the primary process belongs to the same run
    return
  with contextlib.suppress(FileNotFoundError, NotADirectoryError), (workdir / LOCK).open() as file:
    _take(file, fcntl.LOCK_SH)


@contextlib.contextmanager
def lock(workdir: pathlib.Path) -> Iterator[None]:
  """Makes the folder, and locks it against other writers until the block or the process ends.

  The lock is the system's (flock), so that a process that dies leaves none behind. Of several
  processes of one run, the primary one holds it.

  Raises:
    UserError: another process has locked the folder, or it cannot be made or written.
  """
  if not parallel.is_primary_process():
    yield
    return
  with _opened(workdir / LOCK) as file:
    _take(file, fcntl.LOCK_EX)
    file.truncate(0)
    file.write(f'process {os.getpid()} on {platform.node()}\n')
    file.flush()
    yield
    file.truncate(0)


def _take(file: TextIO, how: int) -> None:
  try:
    fcntl.flock(file, how | fcntl.LOCK_NB)
  except BlockingIOError as error:
    raise UserError(
      f'{pathlib.Path(file.name).parent}: in use by '
      f'{file.read().strip() or "another process"}; wait for it, stop it, or name another '
      '--workdir.'
    ) from error


def _opened(path: pathlib.Path) -> TextIO:
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open('a+')
  except OSError as error:
    raise UserError(
      f'{path.parent}: cannot be made or written ({error.strerror}); name another --workdir.'
    ) from error
  file.seek(0)
  return file


def initialize(study: Study) -> None:
  """Writes `config.json`, `environment.json` and `corpus.json`, on the primary process."""
  if parallel.is_primary_process():
    workdir, config = study.workdir, study.config
    files.write_json(workdir / CONFIG, provenance.plain(config))
    files.write_json(
      workdir / ENVIRONMENT, environment() | {'config_hash': provenance.config_hash(config)}
    )
    files.write_json(workdir / CORPUS, _corpus_summary(study))


def stages_done(workdir: pathlib.Path) -> list[str]:
  """Returns the stages that the folder holds results of."""
  folders = {
    provenance.TRAINING: ('pretrain/*/[0-9]*', f'{files.TEACHERS}/*'),
    provenance.PERSONALISING: ('adapt/*/[0-9]*',),
  }
  return [
    stage
    for stage, patterns in folders.items()
    if any(any((workdir / files.CHECKPOINTS).glob(pattern)) for pattern in patterns)
  ]


def expect_config_of_results(workdir: pathlib.Path, config: Config) -> None:
  """`expect_config` for the stages that the folder holds results of; other fields may change."""
  if stages := stages_done(workdir):
    expect_config(workdir, config, stages)


def expect_config(
  workdir: pathlib.Path,
  config: Config,
  stages: Collection[str] = provenance.STAGES,
) -> None:
  """Raises `UserError`, naming the fields, if the results of `stages` had another config."""
  begun = files.read_json(workdir / CONFIG)
  differing = {
    field: values
    for field, values in provenance.differing_fields(begun, provenance.plain(config)).items()
    if provenance.stage(field) in stages
  }
  if differing:
    listed = '; '.join(
      f'config.{field} is {there} there and {now} now' for field, (there, now) in differing.items()
    )
    raise UserError(
      f'{workdir / CONFIG}: this workdir was begun with another config; '
      f'{listed}. Name another --workdir, or the same config.'
    )


def expect_corpus_of_results(study: Study) -> None:
  """`expect_corpus`, if the folder holds results."""
  if stages_done(study.workdir):
    expect_corpus(study)


def expect_corpus(study: Study) -> None:
  """Raises `UserError`, naming the parts, unless the folder was begun with the same data."""
  path = study.workdir / CORPUS
  begun = files.read_json(path).get('fingerprint', {})
  fingerprint = corpus_lib.fingerprint(study.corpus)
  differing = [
    part
    for part in sorted(set(begun) | set(fingerprint))
    if begun.get(part) != fingerprint.get(part)
  ]
  if differing:
    raise UserError(
      f'{path}: this workdir was begun with other data; '
      f'{", ".join(differing)} differ. Name another --workdir, or the same files.'
    )


def expect_no_fewer_records(study: Study) -> None:
  """Raises `UserError` if the folder has a record that the study would not have."""
  path = study.workdir / files.RECORDS
  if not path.exists():
    return
  cases = {(case.user.name, case.fold.seed): case for case in study.folds.cases}
  for record in records.read([study.workdir]):
    case = cases.get((record['user'], record['seed']))
    missing = _left_out(record, study, case)
    if missing:
      raise UserError(
        f'{path}: has records of {missing}, which this config leaves '
        'out; ask for no less than before (config.study), or name another --workdir.'
      )


def _left_out(record: dict[str, Any], study: Study, case: Case | None) -> str:
  """What a record has that the study leaves out; empty if there is nothing.

  Args:
    case: of the record's user and seed, None if the study has none.
  """
  asked = study.config.study
  if case is None:
    return f'user {record["user"]}, seed {record["seed"]}'
  if record['arm'] not in asked.arms:
    return f'arm {record["arm"]}'
  if record['draw'] >= asked.num_draws:
    return f'draw {record["draw"]}'
  shots = (asked.num_support,) if record['arm'] in WITHOUT_CLIPS else study.shots(case)
  if record['num_support'] not in shots:
    return f'{record["num_support"]} support clips'
  return ''


def existing_epochs(workdir: pathlib.Path) -> Epochs | None:
  """Returns what the epochs of the folder's teachers share; None if it has none."""
  if provenance.TRAINING not in stages_done(workdir):
    return None
  found = files.read_json(workdir / CORPUS)
  return Epochs(tuple(found['steps']), tuple(found['batches']))


def environment() -> dict[str, Any]:
  """Returns versions, devices and commit."""
  return dict(
    python=platform.python_version(),
    machine=platform.machine(),
    packages={name: metadata.version(name) for name in _PACKAGES},
    backend=jax.default_backend(),
    devices=[device.device_kind for device in jax.devices()],
    commit=_commit(),
  )


def _commit() -> str | None:
  """The checkout's git commit, '-dirty' where files differ from it; None outside a checkout."""
  here = pathlib.Path(__file__).parent
  try:
    described = subprocess.run(
      ['git', 'describe', '--always', '--abbrev=40', '--dirty'],
      cwd=here,
      capture_output=True,
      text=True,
      check=True,
    )
  except (OSError, subprocess.CalledProcessError):
    return None
  return described.stdout.strip()


def _corpus_summary(study: Study) -> dict[str, Any]:
  """What was loaded, what was left out and why, and who the study's users are."""
  corpus, plan = study.corpus, study.folds
  users = list(dict.fromkeys(case.user.name for case in plan.all_cases))
  clips_of = dict(corpus_lib.users_by_clips(corpus))
  oracle = None
  if corpus.oracle is not None:
    errors = abs(corpus.oracle - corpus.labels)
    oracle = {
      user: float(errors[[speaker == user for speaker in corpus.speakers]].mean()) for user in users
    }
  return dict(
    num_clips=len(corpus.names),
    num_speakers=len(clips_of),
    users={user: clips_of[user] for user in users},
    sequences={m: list(x.shape) for m, x in corpus.clips.frames.items()},
    left_out=corpus.left_out,
    notes=list(corpus.notes),
    oracle_mae=oracle,
    steps=[dict(steps) for steps in plan.buckets.steps],
    batches=list(plan.batches),
    fingerprint=corpus_lib.fingerprint(corpus),
  )
