"""Parts of one study, such as folds run as jobs of their own: do they belong together?"""

import pathlib
from collections.abc import Sequence
from typing import Any

from persona_jax import files
from persona_jax.errors import UserError
from persona_jax.reporting import provenance

# Fields in which parts of one study may differ; any other changes its results.
_PARTS_DIFFER = provenance.MAY_DIFFER | {'seed', 'study.folds', 'study.seeds'}
# Of `corpus.json`. Workdirs of version 0.1 have no fingerprint, only the counts.
_DATA = ('fingerprint', 'num_clips', 'num_speakers', 'users', 'steps', 'batches')
_MOST = 6  # fields that a sentence names


def expect_parts_of_one_study(workdirs: Sequence[pathlib.Path]) -> None:
  """Raises `UserError`, naming what differs from the first, unless all had one config and data."""
  first, *others = ((workdir, *_made_from(workdir)) for workdir in workdirs)
  for other in others:
    differing = {
      f'config.{name}': values
      for name, values in provenance.differing_fields(first[1], other[1], _PARTS_DIFFER).items()
    }
    differing |= {
      f'data {name}': values
      for name, values in provenance.differing_fields(first[2], other[2]).items()
    }
    if differing:
      raise UserError(
        f'{first[0]} and {other[0]} are not parts of one study: {_listed(differing)}; '
        'merge workdirs of one config and one corpus, which differ only in study.folds and seeds.'
      )


def _made_from(workdir: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]]:
  """The workdir's config, and what its data is known by."""
  corpus = files.read_json(workdir / files.CORPUS)
  return (
    files.read_json(workdir / files.CONFIG),
    {name: corpus[name] for name in _DATA if name in corpus},
  )


def _listed(differing: dict[str, tuple[str, str]]) -> str:
  named = [
    f'{name} is {_short(there)} in the first and {_short(here)} in the second'
    for name, (there, here) in list(differing.items())[:_MOST]
  ]
  more = len(differing) - len(named)
  return ', '.join(named) + (f' (and {more} more)' if more else '')


def _short(value: str) -> str:
  return value if len(value) <= 40 else value[:12] + '...'
