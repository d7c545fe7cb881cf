"""The files that every figure is made from: `predictions.csv`, `records.jsonl`, `curves.csv`."""

import collections
import contextlib
import csv
import dataclasses
import functools
import io
import json
import os
import pathlib
from typing import Iterable, Iterator

import numpy as np

from persona_jax.errors import UserError
from persona_jax.evaluation import metrics

PREDICTIONS, RECORDS, CURVES = 'predictions.csv', 'records.jsonl', 'curves.csv'
CONFIG, ENVIRONMENT, CORPUS = 'config.json', 'environment.json', 'corpus.json'
ATTENTION = 'attention.json'
_TRIAL = ('user', 'arm', 'seed', 'draw', 'num_support')
_SHOTS = ('num_support',)
_FIELDS = ('user', 'arm', 'seed', 'draw', 'clip', 'label', 'prediction')


@dataclasses.dataclass(frozen=True)
class Trial:
  """One user x arm x seed x draw: what was predicted of its query clips, each [Q]."""

  user: str
  arm: str
  seed: int
  draw: int
  num_support: int
  clips: tuple[str, ...]
  labels: np.ndarray
  predictions: np.ndarray

  @functools.cached_property
  def record(self) -> dict:
    """The trial's line of `records.jsonl`, from the very numbers of `predictions.csv`."""
    written = [_as_written(self.labels), _as_written(self.predictions)]
    return dict(user=self.user, arm=self.arm, seed=self.seed, draw=self.draw,
                num_support=self.num_support, num_query=len(self.clips),
                **metrics.evaluate(*written))


def _as_written(values: np.ndarray) -> np.ndarray:
  """float32 values as the decimals that name them: 2.4, not 2.4000000953674316."""
  return np.array([float(str(value)) for value in np.asarray(values, np.float32)])


def write(workdir: pathlib.Path, trials: Iterable[Trial]) -> None:
  """Writes both files whole and atomically, so that a reader never sees half a trial.

  A study of several shots needs one more column in `predictions.csv`, `num_support`, its last.
  """
  trials = list(trials)
  several = len({trial.num_support for trial in trials}) > 1
  table = io.StringIO(newline='')
  writer = csv.writer(table, lineterminator='\n')
  writer.writerow(_FIELDS + (_SHOTS if several else ()))
  for trial in trials:
    for clip, label, prediction in zip(trial.clips, _as_written(trial.labels),
                                       _as_written(trial.predictions)):
      row = (trial.user, trial.arm, trial.seed, trial.draw, clip, label, prediction)
      writer.writerow(row + ((trial.num_support,) if several else ()))
  write_text(workdir / PREDICTIONS, table.getvalue())
  write_text(workdir / RECORDS, ''.join(json.dumps(trial.record) + '\n' for trial in trials))


def write_curves(workdir: pathlib.Path, curves: dict[tuple[str, int], np.ndarray]) -> None:
  """Writes `curves.csv`: training and validation loss of every epoch.

  Args:
    curves: {(user, seed): [num_epochs, 2]}, a fold each.
  """
  lines = ['user,seed,epoch,train,valid']
  for (user, seed), losses in curves.items():
    for epoch, (train, valid) in enumerate(np.asarray(losses, np.float32), start=1):
      lines.append(f'{user},{seed},{epoch},{train!s},{valid!s}')
  write_text(workdir / CURVES, '\n'.join(lines) + '\n')


def read_curves(workdirs: Iterable[pathlib.Path]) -> list[dict]:
  """The epochs of the workdirs' folds, numbers as numbers; none where no stage has ended yet."""
  return [dict(user=row['user'], seed=int(row['seed']), epoch=int(row['epoch']),
               train=float(row['train']), valid=float(row['valid']))
          for workdir in workdirs for row in _read_table(workdir / CURVES)]


def read_predictions(workdirs: Iterable[pathlib.Path]) -> list[dict]:
  """The rows of the workdirs' `predictions.csv`, as text."""
  return [row for workdir in workdirs for row in _read_table(workdir / PREDICTIONS)]


def _read_table(path: pathlib.Path) -> list[dict]:
  if not path.exists():
    return []
  with path.open(newline='') as file:
    return list(csv.DictReader(file))


def write_text(path: pathlib.Path, text: str) -> None:
  """Replaces a file in one step: it is the old one or the new one, never a part.

  Raises:
    UserError: it cannot be written; the old one is still there, and nothing else.
  """
  temporary = path.with_name(f'.{path.name}.tmp')
  try:
    with temporary.open('w') as file:
      file.write(text)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except OSError as error:
    with contextlib.suppress(OSError):  # it may never have been made
      temporary.unlink()
    raise UserError(f'{path}: cannot be written ({error.strerror}); make room or mend the folder, and '
                    'run the same command again.') from error


def write_json(path: pathlib.Path, content: dict) -> None:
  write_text(path, json.dumps(content, indent=2) + '\n')


def read_json(path: pathlib.Path) -> dict:
  """Raises `UserError` when the file is absent or not JSON."""
  try:
    return json.loads(path.read_text())
  except OSError as error:
    raise UserError(f'{path}: not readable ({error.strerror}); is {path.parent} the workdir of a '
                    'study?') from error
  except json.JSONDecodeError as error:
    raise UserError(f'{path}: not JSON ({error}); expected a file that a study wrote.') from error


def read(workdirs: Iterable[pathlib.Path]) -> list[dict]:
  """The records of one or several workdirs, such as folds run as jobs of their own.

  Raises:
    UserError: no records, a broken line, or one trial in two workdirs.
  """
  records, seen = [], {}
  for workdir in workdirs:
    for record in _read_lines(workdir / RECORDS):
      trial = tuple(record[field] for field in _TRIAL)
      if trial in seen:
        raise UserError(f'{workdir / RECORDS}: user {record["user"]}, arm {record["arm"]}, seed '
                        f'{record["seed"]}, draw {record["draw"]} is also in {seen[trial]}; name '
                        'workdirs that share no trial.')
      seen[trial] = workdir / RECORDS
      records.append(record)
  return records


def _read_lines(path: pathlib.Path) -> Iterator[dict]:
  if not path.is_file():
    raise UserError(f'{path}: no such file; run launch.study with this workdir first.')
  for number, line in enumerate(path.read_text().splitlines(), start=1):
    try:
      record = json.loads(line)
    except json.JSONDecodeError as error:
      raise UserError(f'{path}, line {number}: not JSON ({error}).') from error
    missing = {*_TRIAL, *metrics.METRICS} - set(record)
    if missing:
      raise UserError(f'{path}, line {number}: no field {sorted(missing)[0]}.')
    yield record


def by_arm(records: list[dict], metric: str) -> dict[str, dict[str, np.ndarray]]:
  """{arm: {user: [S, R] values over seeds and draws, NaN where undefined}}, in the records' order."""
  values = collections.defaultdict(lambda: collections.defaultdict(dict))
  seeds, draws = (sorted({record[field] for record in records}) for field in ('seed', 'draw'))
  for record in records:
    users = values[record['arm']]
    if record['user'] not in users:
      users[record['user']] = np.full((len(seeds), len(draws)), np.nan)
    place = seeds.index(record['seed']), draws.index(record['draw'])
    users[record['user']][place] = np.nan if record[metric] is None else record[metric]
  return {arm: dict(users) for arm, users in values.items()}
