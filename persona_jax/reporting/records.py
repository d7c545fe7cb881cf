"""The files that tables and figures are made from: predictions.csv, records.jsonl, curves.csv."""

import dataclasses
import functools
import itertools
import json
import pathlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from persona_jax.arms import ARMS
from persona_jax.errors import UserError
from persona_jax.evaluation import metrics
from persona_jax.files import (
  CURVES,
  PREDICTIONS,
  RECORDS,
  CsvWriter,
  as_numbers,
  read_csv,
  read_lines,
  replacing,
)
from persona_jax.reporting.markdown import visible
from persona_jax.targets import SENTIMENT, Target

_SHOTS, _INTERVAL = ('num_support',), ('low', 'high')
_FIELDS = ('user', 'arm', 'seed', 'draw', 'clip', 'label', 'prediction')
_CURVE = ('user', 'seed', 'epoch', 'train', 'valid')
_COUNTS = ('seed', 'draw', 'num_support', 'num_query')


class TrialKey(NamedTuple):
  """What identifies a trial, in every file."""

  user: str
  arm: str
  seed: int
  draw: int
  num_support: int

  def __str__(self) -> str:
    return f'user {visible(self.user)}, arm {visible(self.arm)}, seed {self.seed}, draw {self.draw}'


class Prediction(NamedTuple):
  """A row of `predictions.csv`."""

  trial: TrialKey
  clip: str
  label: float
  prediction: float


@dataclasses.dataclass(frozen=True)
class Trial:
  """One user x arm x seed x draw: what was predicted of its query clips, each [Q].

  Arms that predict a distribution also give their central 90 % interval, `low` to `high`. `control`
  is how the support was picked, where not at random from the user's own clips. `target` says which
  metrics the trial has.
  """

  user: str
  arm: str
  seed: int
  draw: int
  num_support: int
  clips: tuple[str, ...]
  labels: np.ndarray
  predictions: np.ndarray
  low: np.ndarray | None = None
  high: np.ndarray | None = None
  control: dict[str, str] = dataclasses.field(default_factory=dict)
  target: Target = SENTIMENT

  @functools.cached_property
  def record(self) -> dict:
    """The trial's line of `records.jsonl`, computed from the numbers in `predictions.csv`."""
    written = [_as_written(self.labels), _as_written(self.predictions)]
    return dict(
      user=self.user,
      arm=self.arm,
      seed=self.seed,
      draw=self.draw,
      num_support=self.num_support,
      num_query=len(self.clips),
      **metrics.evaluate(*written, target=self.target),
      **self._coverage(),
      **self.control,
    )

  def _coverage(self) -> dict[str, float]:
    """The share of labels within their interval, of a trial that has intervals."""
    if self.low is None or self.high is None:
      return {}
    low, label, high = map(_as_written, (self.low, self.labels, self.high))
    return {metrics.COVERAGE: float(((low <= label) & (label <= high)).mean())}


def _as_written(values: np.ndarray) -> np.ndarray:
  """float32 values as the decimals that name them: 2.4, not 2.4000000953674316."""
  return np.array([float(str(value)) for value in np.asarray(values, np.float32)])


def write(workdir: pathlib.Path, trials: Collection[Trial]) -> None:
  """Writes both files whole and atomically, so that a reader never sees half a trial.

  For a study of several shots `predictions.csv` has one more column, `num_support`, and for a study
  with arms that predict intervals two more, `low` and `high`, empty for the other arms. The trials
  are iterated several times, and none is kept.
  """
  assert isinstance(trials, Collection)  # an iterator would be empty at the second pass
  several = len({trial.num_support for trial in trials}) > 1
  intervals = any(trial.low is not None for trial in trials)
  with replacing(workdir / PREDICTIONS) as file:
    table = CsvWriter(file)
    table.writerow(_FIELDS + (_SHOTS if several else ()) + (_INTERVAL if intervals else ()))
    for trial in trials:
      name = (trial.user, trial.arm, trial.seed, trial.draw)
      shots = (trial.num_support,) if several else ()
      labels, predictions = _as_written(trial.labels), _as_written(trial.predictions)
      ends = _written_intervals(trial) if intervals else [()] * len(labels)
      for clip, label, prediction, between in zip(
        trial.clips, labels, predictions, ends, strict=True
      ):
        table.writerow((*name, clip, label, prediction, *shots, *between))
  with replacing(workdir / RECORDS) as file:
    file.writelines(json.dumps(trial.record) + '\n' for trial in trials)


def _written_intervals(trial: Trial) -> list[tuple]:
  """The cells `low` and `high` of every clip; empty ones for an arm without intervals."""
  if trial.low is None or trial.high is None:
    return [('', '')] * len(trial.clips)
  return list(zip(_as_written(trial.low), _as_written(trial.high), strict=True))


def write_curves(workdir: pathlib.Path, curves: dict[tuple[str, int], np.ndarray]) -> None:
  """Writes `curves.csv`: training and validation loss of every epoch.

  Args:
    curves: {(user, seed): [num_epochs, 2]}, one entry per fold.
  """
  with replacing(workdir / CURVES) as file:
    table = CsvWriter(file)
    table.writerow(_CURVE)
    for (user, seed), losses in curves.items():
      for epoch, (train, valid) in enumerate(np.asarray(losses, np.float32), start=1):
        table.writerow((user, seed, epoch, str(train), str(valid)))


def read_curves(workdirs: Iterable[pathlib.Path]) -> list[dict]:
  """The epochs of the workdirs' folds; none where no fold's pre-training has ended yet."""
  return [
    dict(zip(_CURVE, (user, *as_numbers(path, (int, int, float, float), numbers)), strict=True))
    for path in (workdir / CURVES for workdir in workdirs)
    if path.exists()
    for user, *numbers in _rows(path, _CURVE)
  ]


def read_predictions(workdir: pathlib.Path) -> Iterator[Prediction]:
  """The rows of `predictions.csv`, one at a time; none where there is no such file yet.

  A study of one number of support clips has no column for it; `records.jsonl` says which it was.

  Raises:
    UserError: a row is broken, or neither file tells its number of support clips.
  """
  path = workdir / PREDICTIONS
  if not path.exists():
    return
  shots = functools.cache(lambda: str(_only_shots(workdir)))  # read where it is needed
  rows = _rows(path, _FIELDS, _SHOTS)
  for name, group in itertools.groupby(rows, key=lambda row: (*row[:4], row[-1])):
    user, arm, seed, draw, count = name
    count = shots() if count is None else count
    trial = TrialKey(user, arm, *as_numbers(path, (int,) * 3, (seed, draw, count)))
    for *_, clip, label, prediction, _ in group:
      yield Prediction(trial, clip, *as_numbers(path, (float, float), (label, prediction)))


def _rows(
  path: pathlib.Path, fields: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[list[Any]]:
  """`read_csv` for a type checker, which cannot tell that only an optional value may be None."""
  return read_csv(path, fields, optional)


def _only_shots(workdir: pathlib.Path) -> int:
  shots = {record['num_support'] for record in read([workdir])}
  if len(shots) != 1:
    raise UserError(
      f'{workdir / PREDICTIONS}: no column num_support, though {RECORDS} has '
      f'{len(shots)} numbers of support clips; run launch.study with this workdir again.'
    )
  return shots.pop()


def read(workdirs: Iterable[pathlib.Path]) -> Iterator[dict]:
  """Yields the records of one or several workdirs, such as folds that ran as separate jobs.

  Raises:
    UserError: no records, a broken line, or one trial twice.
  """
  seen = {}
  for path in (workdir / RECORDS for workdir in workdirs):
    if not path.is_file():
      raise UserError(f'{path}: no such file; run launch.study with this workdir first.')
    for number, record in read_lines(path):
      _expect_record(f'{path}, line {number}', record)
      trial = key(record)
      if trial in seen:
        raise UserError(
          f'{path}: {trial} is also in {seen[trial]}; name workdirs that share no trial.'
        )
      seen[trial] = path
      yield record


def key(record: dict) -> TrialKey:
  return TrialKey(*(record[field] for field in TrialKey._fields))


def _expect_record(where: str, record: dict) -> None:
  """Raises `UserError` for the first field that is not there, or not as a study writes it."""
  # A record of an emotion is known by the metric that sentiment has not.
  names = metrics.OF_EMOTIONS if 'wacc' in record else metrics.METRICS
  for field in (*TrialKey._fields, *_COUNTS, *names):
    if field not in record:
      raise UserError(f'{where}: no field {field}; expected a record that a study wrote.')
  kinds = {'user': str} | dict.fromkeys(_COUNTS, int) | dict.fromkeys(names, (int, float))
  for field, kind in kinds.items():
    if not isinstance(record[field], kind) and not (record[field] is None and field in names):
      raise UserError(
        f'{where}: {field} is {record[field]!r}; expected '
        f'{"text" if kind is str else "a number"}, as a study writes it.'
      )
  if not isinstance(record.get(metrics.COVERAGE, 0), (int, float)):
    raise UserError(
      f'{where}: {metrics.COVERAGE} is {record[metrics.COVERAGE]!r}; expected a number.'
    )
  if record['arm'] not in ARMS:
    raise UserError(f'{where}: arm {record["arm"]!r}; expected one of {", ".join(ARMS)}.')
