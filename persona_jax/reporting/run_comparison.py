"""Two or more runs of the same trials, compared: another config, another model."""

import dataclasses
import itertools
import pathlib
from collections.abc import Collection, Sequence

import numpy as np

from persona_jax import files
from persona_jax.arms import NAMES
from persona_jax.errors import UserError
from persona_jax.evaluation import statistics
from persona_jax.reporting import records
from persona_jax.reporting.arm_comparison import p_values
from persona_jax.reporting.explanations import (
  MEAN_SHIFT_NOTE,
  P_NOTE,
  caveat,
  holm_note,
  interval_note,
)
from persona_jax.reporting.markdown import interval, literal, number, p_value, table, visible
from persona_jax.reporting.records import TrialKey
from persona_jax.reporting.results import has_easy_mean_shift
from persona_jax.reporting.scores import Scores, Values

Queries = frozenset[tuple[str, float]]  # the clips that a trial was scored on, with their labels


def share_trials(workdirs: Sequence[pathlib.Path]) -> bool:
  """Whether the workdirs hold the same trials, and so are runs to compare, not parts to merge."""
  if len(workdirs) < 2:
    return False
  seen = set()
  for workdir in workdirs:
    keys = {records.key(record) for record in records.read([workdir])}
    if not seen.isdisjoint(keys):
      return True
    seen |= keys
  return False


def compare(workdirs: Sequence[pathlib.Path]) -> str:
  """Every later run against the first, arm by arm, on the trials that both have.

  Raises:
    UserError: two runs scored a trial on different query clips, or one lacks its predictions.
  """
  first, *others = workdirs
  ours = _scores(first)
  parts = [
    '# Runs compared',
    f'MAE of each run against {literal(str(first))}, on the trials and query clips of both.',
  ]
  for other in others:
    parts += _compared((first, ours), (other, _scores(other)))
  return '\n\n'.join(parts) + '\n'


def _scores(workdir: pathlib.Path) -> Scores:
  scores, config = Scores.of(records.read([workdir])), workdir / files.CONFIG
  if not config.exists():
    return scores
  return dataclasses.replace(scores, easy_mean_shift=has_easy_mean_shift(files.read_json(config)))


def _compared(first: tuple[pathlib.Path, Scores], other: tuple[pathlib.Path, Scores]) -> list[str]:
  """The section of one later run."""
  names = [literal(str(workdir)) for workdir, _ in (first, other)]
  places = [
    {trial: place for place, trial in enumerate(scores.keys())} for _, scores in (first, other)
  ]
  both = [trial for trial in places[0] if trial in places[1]]
  if not both:
    return [f'## {names[1]}', f'It has no trial of {names[0]}.']
  expect_same_queries(first[0], other[0], both)
  ours, theirs = (
    scores.rows(np.array([place[trial] for trial in both]))
    for (_, scores), place in zip((first, other), places, strict=True)
  )
  cells = list(dict.fromkeys((trial.arm, trial.num_support) for trial in both))
  compared = [arm for arm, _ in cells]
  header = ['arm', 'clips', f'MAE of {names[0]}', f'MAE of {names[1]}']
  return [
    f'## {names[1]}',
    table([*header, 'difference', 'p', 'p (Holm)'], _rows(cells, ours, theirs)),
    interval_note(ours),
    f'{P_NOTE} {holm_note(len(cells))}',
    *([MEAN_SHIFT_NOTE] if any(caveat(each, compared) for each in (ours, theirs)) else []),
  ]


def _rows(cells: Sequence[tuple[str, int]], ours: Scores, theirs: Scores) -> list[list[str]]:
  """A row per arm and number of support clips, of the records of both runs."""
  pairs = [
    [scores.only(count, arm).values('mae', arm) for scores in (ours, theirs)]
    for arm, count in cells
  ]
  differences = [Values(mine.users, other.table - mine.table) for mine, other in pairs]
  intervals = statistics.bootstraps([each.table for each in differences])
  return [
    [
      NAMES[arm],
      str(count),
      *(number(float(statistics.mean_over_users(each.table))) for each in pair),
      interval(mean, signed=True),
      *map(p_value, p),
    ]
    for (arm, count), pair, mean, p in zip(
      cells, pairs, intervals, p_values(differences), strict=True
    )
  ]


def expect_same_queries(
  first: pathlib.Path, second: pathlib.Path, trials: Collection[TrialKey]
) -> None:
  """Raises `UserError` for the first trial that the runs scored on different clips or labels."""
  known = {}
  ours, theirs = (_queries(workdir, set(trials), known) for workdir in (first, second))
  for trial in trials:
    for workdir, queries in zip((first, second), (ours, theirs), strict=True):
      if trial not in queries:
        raise UserError(
          f'{workdir / files.PREDICTIONS}: no predictions of {trial}, though '
          f'{files.RECORDS} has it; run launch.study with this workdir again.'
        )
    if ours[trial] != theirs[trial]:
      raise UserError(
        f'{first} and {second}: {trial} was {_difference(ours[trial], theirs[trial])}; '
        'compare runs with the same data, seeds, shots and study.num_query.'
      )


def _difference(ours: Queries, theirs: Queries) -> str:
  """What differs between two sets of queries, behind 'was'."""
  labels, others = dict(ours), dict(theirs)
  for clip in sorted(set(labels) ^ set(others)):
    return (
      f'scored on {len(labels)} clips in the first and on {len(others)} in the second, '
      f'{visible(clip)} only in the {"first" if clip in labels else "second"}'
    )
  clip = min(clip for clip, _ in ours ^ theirs)
  return (
    f'scored with label {labels[clip]} of {visible(clip)} in the first and {others[clip]} in the '
    'second'
  )


def _queries(workdir: pathlib.Path, wanted: set[TrialKey], known: dict) -> dict[TrialKey, Queries]:
  """The queries of the `wanted` trials; equal ones, as all arms of a draw have, are kept once."""
  queries = {}
  rows = records.read_predictions(workdir)
  for trial, group in itertools.groupby(rows, key=lambda row: row.trial):
    if trial in wanted:
      found = {known.setdefault(pair, pair) for pair in ((row.clip, row.label) for row in group)}
      found = frozenset(found) | queries.get(trial, frozenset())
      queries[trial] = known.setdefault(found, found)
  return queries
