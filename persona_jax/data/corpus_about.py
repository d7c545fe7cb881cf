"""What a corpus file says of its clips in words: JSON, with every field checked when it is read."""

import dataclasses
import json
import math
from typing import Any, NamedTuple

from persona_jax.data.corpus import Corpus
from persona_jax.data.resample import Sampling

# JSON can take 27 times its size in memory. This is room for about 150,000 clips.
MOST_BYTES = 6 * 2**20


class About(NamedTuple):
  """Fields as in `persona_jax.data.corpus.Corpus`, and two more.

  Attributes:
    target: the name of what the labels are of.
    provenance: what the corpus was made from, see `persona_jax.data.origins`.
  """

  names: tuple[str, ...]
  speakers: tuple[str, ...]
  left_out: dict[str, str]
  notes: tuple[str, ...]
  sampling: dict[str, Sampling]
  target: str
  provenance: dict[str, Any]


class Wrong(Exception):
  """What does not fit; its text names the field and what was expected."""


def of_corpus(corpus: Corpus, target: str, provenance: dict[str, Any]) -> About:
  return About(
    corpus.names,
    corpus.speakers,
    corpus.left_out,
    corpus.notes,
    corpus.sampling,
    target,
    provenance,
  )


def to_json(about: About) -> bytes:
  """As it is in the file.

  Raises:
    Wrong: it is too long.
  """
  fields = about._asdict()
  fields['sampling'] = {m: dataclasses.asdict(each) for m, each in about.sampling.items()}
  content = json.dumps(fields, separators=(',', ':')).encode()
  if len(content) > MOST_BYTES:
    raise Wrong(f'about: {len(content)} bytes of names and notes, expected at most {MOST_BYTES}')
  return content


def from_json(content: bytes) -> About:
  """What `to_json` wrote.

  Raises:
    Wrong: a field is missing, or not as expected.
  """
  try:
    fields = json.loads(content)
  except (ValueError, RecursionError) as error:
    raise Wrong(f'about: not JSON ({" ".join(str(error).split())[:200]})') from error
  _expect(isinstance(fields, dict), 'about', 'a JSON object')
  for field in About._fields:
    _expect(field in fields, f'about/{field}', 'this field')
  for field in ('names', 'speakers', 'notes'):
    _expect(_are_texts(fields[field]), f'about/{field}', 'a list of texts')
  for field in ('left_out', 'sampling', 'provenance'):
    _expect(isinstance(fields[field], dict), f'about/{field}', 'a JSON object')
  names, left_out = fields['names'], fields['left_out']
  _expect(len(names) > 0, 'about/names', 'at least one clip')
  _expect(len(set(names)) == len(names), 'about/names', 'every clip once')
  _expect(len(fields['speakers']) == len(names), 'about/speakers', f'{len(names)} of them')
  _expect(_are_texts(list(left_out.values())), 'about/left_out', 'a reason in words for each clip')
  _expect(not set(left_out) & set(names), 'about/left_out', 'no clip of about/names')
  _expect(isinstance(fields['target'], str), 'about/target', 'a text')
  return About(
    tuple(names),
    tuple(fields['speakers']),
    left_out,
    tuple(fields['notes']),
    {modality: _sampling(each) for modality, each in fields['sampling'].items()},
    fields['target'],
    fields['provenance'],
  )


def _sampling(found: object) -> Sampling:
  expected = {field.name for field in dataclasses.fields(Sampling)}
  where = 'about/sampling'
  if not isinstance(found, dict) or set(found) != expected:
    raise Wrong(f'{where}: expected {", ".join(sorted(expected))} for each modality')
  for name in ('file_rate', 'rate'):
    rate = found[name]
    is_rate = isinstance(rate, (int, float)) and 0 <= rate < math.inf
    _expect(rate is None or is_rate, f'{where}/{name}', 'frames a second, or null')
  count = found['num_cut']
  _expect(isinstance(count, int) and count >= 0, f'{where}/num_cut', 'a number of clips')
  return Sampling(**found)


def _are_texts(found: object) -> bool:
  return isinstance(found, list) and all(isinstance(each, str) for each in found)


def _expect(holds: bool, field: str, expected: str) -> None:
  if not holds:
    raise Wrong(f'{field}: expected {expected}')
