"""What a run was made from: its config's fields, and which of them differ from another run's.

It does not import jax, so that reports can use it as well as runs.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from persona_jax.types import MODALITIES, Config

# Where the files are (`corpus.json` has their fingerprints), and whether to draw a figure.
MAY_DIFFER = frozenset(
  {f'data.{field}' for field in ('root', 'labels', *MODALITIES, 'speakers')} | {'study.attention'}
)

# What a result depends on, stage by stage. The other fields of a config say which folds, arms,
# shots and draws to run, and may grow from run to run in one workdir.
TRAINING, PERSONALISING = STAGES = ('training', 'personalising')
_ASKED = ('seed', 'study.')
# Of 'study.', what a teacher depends on, and what a personalised prediction depends on.
_TRAINS = frozenset({'study.protocol', 'study.num_groups'})
_PERSONALISES = frozenset({'study.support', 'study.support_from'})


def stage(field: str) -> str | None:
  """The first stage whose results depend on a field of the config; None if none does."""
  if field in _TRAINS:
    return TRAINING
  if field in _PERSONALISES:
    return PERSONALISING
  if field in MAY_DIFFER or field.startswith(_ASKED):
    return None
  return PERSONALISING if field.startswith('adapt.') else TRAINING


def plain(config: Config) -> dict[str, Any]:
  """The config as `config.json` gives it back."""
  return json.loads(json.dumps(config.to_dict()))


def flat(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """{'a': {'b': 1}} as {'a.b': 1}."""
  fields = {}
  for name, value in tree.items():
    fields |= (
      flat(value, f'{prefix}{name}.') if isinstance(value, Mapping) else {prefix + name: value}
    )
  return fields


def config_hash(config: Config) -> str:
  """A short hash of a config's values, without those that cannot change a result."""
  fields = {name: value for name, value in flat(plain(config)).items() if name not in MAY_DIFFER}
  return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]


def differing_fields(
  first: Mapping[str, Any], second: Mapping[str, Any], ignored: Collection[str] = MAY_DIFFER
) -> dict[str, tuple[str, str]]:
  """{field: (its value in the first, in the second)} of two nested dicts, as text for a sentence.

  A field that one of them lacks, because another version wrote it, is 'unknown' there.
  """
  left, right = flat(first), flat(second)

  def shown(fields: Mapping[str, Any], name: str) -> str:
    return repr(fields[name]) if name in fields else 'unknown'

  return {
    name: (shown(left, name), shown(right, name))
    for name in sorted(set(left) | set(right))
    if name not in ignored and shown(left, name) != shown(right, name)
  }
