"""The records of a study as arrays, parsed once, for tables, comparisons and figures."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from persona_jax.evaluation.metrics import COVERAGE, METRICS, OF_EMOTIONS
from persona_jax.reporting.records import TrialKey
from persona_jax.targets import SENTIMENT, Target

# Metrics that the records' target has not are NaN.
_VALUES = tuple(dict.fromkeys((*METRICS, *OF_EMOTIONS, COVERAGE)))
_NAMES, _NUMBERS = ('user', 'arm'), ('seed', 'draw', 'num_support', 'num_query')


class Values(NamedTuple):
  """One metric of one arm.

  Attributes:
    users: U names, in the records' order.
    table: [U, S, R] over users, seeds and draws, NaN where undefined.
  """

  users: tuple[str, ...]
  table: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
  """n records, in order.

  Attributes:
    names: {'user' or 'arm': its distinct names}.
    columns: {field: [n]}; a name as its index in `names`, metrics as float64, NaN where undefined.
    easy_mean_shift: whether the mean shift's shrinkage was estimated on speakers whom the model was
      trained on.
    target: what the records are of.
  """

  names: dict[str, tuple[str, ...]]
  columns: dict[str, np.ndarray]
  easy_mean_shift: bool = True
  target: Target = SENTIMENT

  @classmethod
  def of(cls, records: Iterable[dict]) -> Scores:
    """Parses records as `reporting.records.read` gives them; none is kept."""
    numbers = {name: {} for name in _NAMES}
    lists = {field: [] for field in (*_NAMES, *_NUMBERS, *_VALUES)}
    for record in records:
      for name, known in numbers.items():
        lists[name].append(known.setdefault(record[name], len(known)))
      for field in _NUMBERS:
        lists[field].append(record[field])
      for field in _VALUES:
        lists[field].append(record.get(field))
    return cls(
      {name: tuple(known) for name, known in numbers.items()},
      {
        field: np.array(column, float if field in _VALUES else int)  # None becomes NaN
        for field, column in lists.items()
      },
    )

  def __len__(self) -> int:
    return len(self.columns['user'])

  def rows(self, chosen: np.ndarray) -> Scores:
    """The records at these places [m], or where this mask [n] is True."""
    columns = {field: column[chosen] for field, column in self.columns.items()}
    return dataclasses.replace(self, columns=columns)

  def only(self, num_support: int | None = None, arm: str | None = None) -> Scores:
    """The records of this number of support clips, of this arm, or of both."""
    chosen = np.full(len(self), True)
    if num_support is not None:
      chosen &= self.columns['num_support'] == num_support
    if arm is not None:
      chosen &= self.is_arm(arm)
    return self.rows(chosen)

  def is_arm(self, arm: str) -> np.ndarray:
    """[n] bool: which records are the arm's."""
    return self._is('arm', arm)

  def _is(self, name: str, value: str) -> np.ndarray:
    number = self.names[name].index(value) if value in self.names[name] else -1
    return self.columns[name] == number

  def by_rank(self, ranks: dict[str, int]) -> Scores:
    """The records by their users' ranks, otherwise in their order."""
    of_numbers = np.array([ranks.get(user, -1) for user in self.names['user']], int)
    return self.rows(np.argsort(of_numbers[self.columns['user']], kind='stable'))

  @functools.cached_property
  def users(self) -> tuple[str, ...]:
    """Who has records, in their order."""
    return self._present('user')

  @functools.cached_property
  def arms(self) -> tuple[str, ...]:
    """The arms that have records, in their order."""
    return self._present('arm')

  def _present(self, name: str) -> tuple[str, ...]:
    numbers, _ = _in_order(self.columns[name])
    return tuple(self.names[name][number] for number in numbers)

  def distinct(self, *fields: str) -> list[tuple[int, ...]]:
    """The combinations of these fields that occur, sorted."""
    found = np.unique(np.stack([self.columns[field] for field in fields], axis=1), axis=0)
    return [tuple(int(value) for value in row) for row in found]

  @functools.cached_property
  def shots(self) -> tuple[int, ...]:
    """The numbers of support clips that occur, fewest first."""
    return tuple(count for (count,) in self.distinct('num_support'))

  def keys(self) -> list[TrialKey]:
    """[n] trials."""
    users, arms = ([self.names[name][number] for number in self.columns[name]] for name in _NAMES)
    numbers = (self.columns[field].tolist() for field in ('seed', 'draw', 'num_support'))
    return [TrialKey(*values) for values in zip(users, arms, *numbers, strict=True)]

  def num_query(self, trial: TrialKey) -> int:
    """How many query clips a trial has predictions of; 0 where it has no record."""
    user, arm, *numbers = trial
    chosen = self._is('user', user) & self._is('arm', arm)
    for field, number in zip(('seed', 'draw', 'num_support'), numbers, strict=True):
      chosen &= self.columns[field] == number
    return int(self.columns['num_query'][chosen].sum())

  def values(self, metric: str, arm: str) -> Values:
    """An arm's metric over all seeds and draws; no users where the arm has no records."""
    layout = self._layouts.get(arm, _NO_RECORDS)
    table = np.full((len(layout.users), *self._grid), np.nan)
    table[layout.places] = self.columns[metric][layout.rows]
    return Values(layout.users, table)

  @functools.cached_property
  def _grid(self) -> tuple[int, int]:
    return len(np.unique(self.columns['seed'])), len(np.unique(self.columns['draw']))

  @functools.cached_property
  def _layouts(self) -> dict[str, _Layout]:
    seeds, draws = (
      np.unique(self.columns[field], return_inverse=True)[1] for field in ('seed', 'draw')
    )
    layouts = {}
    for arm in self.arms:
      rows = np.flatnonzero(self.is_arm(arm))
      numbers, places = _in_order(self.columns['user'][rows])
      users = tuple(self.names['user'][number] for number in numbers)
      layouts[arm] = _Layout(users, rows, (places, seeds[rows], draws[rows]))
    return layouts


class _Layout(NamedTuple):
  """Where an arm's records stand in its tables."""

  users: tuple[str, ...]
  rows: np.ndarray
  places: tuple[np.ndarray, np.ndarray, np.ndarray]


_NOTHING = np.zeros(0, int)
_NO_RECORDS = _Layout((), _NOTHING, (_NOTHING, _NOTHING, _NOTHING))


def _in_order(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Distinct numbers in order of first occurrence, and the place [n] of each number there."""
  distinct, first, places = np.unique(numbers, return_index=True, return_inverse=True)
  order = np.argsort(first)
  return distinct[order], np.argsort(order)[places]
