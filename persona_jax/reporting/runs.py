"""Two or more runs of the same trials, compared: another config, another model."""

import collections
import pathlib
from typing import Sequence

from persona_jax.arms import NAMES
from persona_jax.errors import UserError
from persona_jax.evaluation import statistics
from persona_jax.reporting import comparison, records
from persona_jax.reporting.markdown import interval, number, table

_TRIAL = ('user', 'arm', 'seed', 'draw', 'num_support')


def share_trials(workdirs: Sequence[pathlib.Path]) -> bool:
  """Whether the workdirs hold the same trials, and so are runs to compare, not parts to merge."""
  seen = collections.Counter(_key(record) for workdir in workdirs
                             for record in records.read([workdir]))
  return any(count > 1 for count in seen.values())


def compare(workdirs: Sequence[pathlib.Path]) -> str:
  """Every later run against the first, arm by arm, on the trials that both have.

  Raises:
    UserError: a trial of two runs was scored on different query clips.
  """
  first, *others = workdirs
  parts = ['# Runs compared', f'MAE of each run against {first}, on the trials and query clips of both.']
  for other in others:
    expect_same_queries(first, other)
    parts += _compared(first, other)
  return '\n\n'.join(parts) + '\n'


def _compared(first: pathlib.Path, other: pathlib.Path) -> list[str]:
  """The section of one later run."""
  ours, theirs = ({_key(record): record for record in records.read([workdir])}
                  for workdir in (first, other))
  both, rows = [key for key in ours if key in theirs], []
  if not both:
    return [f'## {other}', f'It has no trial of {first}.']
  for arm, shots in dict.fromkeys((key[1], key[4]) for key in both):
    pair = [record | {'arm': name} for key in both if (key[1], key[4]) == (arm, shots)
            for name, record in ((str(first), ours[key]), (str(other), theirs[key]))]
    means = [number(statistics.mean_over_users(comparison.matrix(users)))
             for users in records.by_arm(pair, 'mae').values()]
    difference = comparison.paired(pair, 'mae', str(other), str(first))
    rows.append([NAMES[arm], str(shots), *means, interval(statistics.bootstrap(difference), signed=True),
                 number(statistics.sign_flip(statistics.user_means(difference)))])
  return [f'## {other}',
          table(['arm', 'clips', f'MAE of {first}', f'MAE of {other}', 'difference', 'p'], rows),
          comparison.over([ours[key] for key in both])]


def expect_same_queries(first: pathlib.Path, second: pathlib.Path) -> None:
  """Raises `UserError` for the first trial that the runs scored on different clips."""
  ours, theirs = (_queries(workdir) for workdir in (first, second))
  for key, clips in ours.items():
    if key in theirs and theirs[key] != clips:
      user, arm, seed, draw = key[:4]
      raise UserError(f'{first} and {second}: user {user}, arm {arm}, seed {seed}, draw {draw} was '
                      f'scored on {len(clips)} clips in one and on {len(theirs[key])} others in the '
                      'other; compare runs with the same data, seeds, shots and study.num_query.')


def _queries(workdir: pathlib.Path) -> dict[tuple, set[tuple[str, str]]]:
  """{trial: {(clip, label)}}."""
  queries = collections.defaultdict(set)
  for row in records.read_predictions([workdir]):
    key = tuple(row[field] for field in _TRIAL[:4]) + (row.get('num_support'),)
    queries[key].add((row['clip'], row['label']))
  return queries


def _key(record: dict) -> tuple:
  return tuple(record[field] for field in _TRIAL)
