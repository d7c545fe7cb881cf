"""The folder of one run: what it was asked for, on what, and where."""

import json
import pathlib
import platform
import subprocess
from importlib import metadata
from typing import Any, Sequence

import jax
import ml_collections

from persona_jax import parallel
from persona_jax.data.corpus import Corpus, users_by_clips
from persona_jax.errors import UserError
from persona_jax.reporting import records

CONFIG, ENVIRONMENT, CORPUS = 'config.json', 'environment.json', 'corpus.json'
_MAY_DIFFER = {'data.root'}  # the same files may lie elsewhere
_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy', 'scipy', 'scikit-learn')


def open_workdir(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
  """Makes the folder, or checks that what lies in it was begun with the same config.

  Raises:
    UserError: the folder cannot be made, or holds another config's run.
  """
  try:
    workdir.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f'{workdir}: cannot be made ({error.strerror}); name another --workdir.') from error
  wanted = json.loads(json.dumps(config.to_dict()))
  if (workdir / CONFIG).exists():
    _expect_same(workdir / CONFIG, _flat(records.read_json(workdir / CONFIG)), _flat(wanted))
  if parallel.writes():
    records.write_json(workdir / CONFIG, wanted)
    records.write_json(workdir / ENVIRONMENT, environment())


def _expect_same(path: pathlib.Path, begun: dict[str, Any], wanted: dict[str, Any]) -> None:
  differing = [f'config.{field} is {begun.get(field)!r} there and {wanted.get(field)!r} now'
               for field in sorted(set(begun) | set(wanted))
               if begun.get(field) != wanted.get(field) and field not in _MAY_DIFFER]
  if differing:
    raise UserError(f'{path}: this workdir was begun with another config; {"; ".join(differing)}. '
                    'Name another --workdir, or the same config.')


def _flat(tree: dict[str, Any], prefix: str = '') -> dict[str, Any]:
  """{'a': {'b': 1}} as {'a.b': 1}."""
  flat = {}
  for name, value in tree.items():
    flat |= _flat(value, f'{prefix}{name}.') if isinstance(value, dict) else {prefix + name: value}
  return flat


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


def write_corpus(workdir: pathlib.Path, corpus: Corpus, users: Sequence[str]) -> None:
  """Writes `corpus.json`: what was loaded, what was not and why, and who the study's users are."""
  if not parallel.writes():
    return
  clips_of = dict(users_by_clips(corpus))
  oracle = None
  if corpus.oracle is not None:
    errors = abs(corpus.oracle - corpus.labels)
    oracle = {user: float(errors[[speaker == user for speaker in corpus.speakers]].mean())
              for user in users}
  records.write_json(workdir / CORPUS, dict(
      num_clips=len(corpus.names), num_speakers=len(clips_of),
      users={user: clips_of[user] for user in users},
      sequences={m: list(x.shape) for m, x in corpus.clips.sequences.items()},
      left_out=corpus.left_out, notes=list(corpus.notes), oracle_mae=oracle))
