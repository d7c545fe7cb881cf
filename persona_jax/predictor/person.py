"""A person: the evidence of each labelled clip, in a small safetensors file.

What is stored of a clip is a row of numbers: its label, what the predictor says of it, the
principal components of what the predictor's head reads, whether it was chosen by its label, and an
identifier (64 bits of a SHA-256). No word, sound, image or file name is stored, and no date. The
sums that a prediction needs are computed from the rows, sorted by identifier. So the same clips
give the same person to the last bit, in whatever order they came, and a clip that is forgotten
leaves nothing behind.
"""

import dataclasses
import hashlib
import json
import os
import pathlib

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from persona_jax.errors import UserError

FORMAT = '1'
_KIND = 'persona_jax person'
# {tensor: its type and number of axes}
_TENSORS = {
  'clips': (np.uint64, 1),
  'labels': (np.float32, 1),
  'predictions': (np.float32, 1),
  'components': (np.float32, 2),
  'chosen': (np.bool_, 1),
}
_MOST_BYTES = 2**26  # of a file; a person with this many clips would have 600,000


@dataclasses.dataclass(frozen=True, eq=False)
class Person:
  """What is known of one person by one predictor, a row per labelled clip, sorted by `clips`.

  Attributes:
    predictor: the identity of the predictor that read the clips (`Predictor.identity`).
    clips: [K] uint64 identifiers, by `identifier`.
    labels: [K] float32 sentiment.
    predictions: [K] float32 by the predictor, before any personalisation.
    components: [K, num_components] float32 of what the predictor's head reads.
    chosen: [K] bool, whether the clip was picked because of its label.
  """

  predictor: str
  clips: np.ndarray
  labels: np.ndarray
  predictions: np.ndarray
  components: np.ndarray
  chosen: np.ndarray

  @property
  def num_clips(self) -> int:
    return len(self.clips)

  def add(self, other: 'Person') -> 'Person':
    """The person who is known by the clips of both.

    Raises:
      UserError: a clip is in both, or they are of different predictors.
    """
    if other.predictor != self.predictor:
      raise UserError('the clips were read by another predictor than the person; adapt anew.')
    if np.isin(self.clips, other.clips).any():
      raise UserError(
        'a clip is already known of this person; forget it first, to give it another label.'
      )
    rows = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in _TENSORS}
    return self._of(rows, np.argsort(rows['clips']))

  def forget(self, clip: str) -> 'Person':
    """The person who never gave the clip of this name.

    Raises:
      UserError: no such clip is known.
    """
    kept = self.clips != identifier(clip)
    if kept.all():
      raise UserError(f'clip {clip!r} is not known of this person, who has {self.num_clips} clips.')
    return self._of({name: getattr(self, name) for name in _TENSORS}, np.flatnonzero(kept))

  def _of(self, rows: dict[str, np.ndarray], places: np.ndarray) -> 'Person':
    return dataclasses.replace(self, **{name: values[places] for name, values in rows.items()})

  def save(self, path: pathlib.Path | str) -> None:
    """Replaces the file in one step, so that a reader never sees half of it."""
    path = pathlib.Path(path)
    tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in _TENSORS}
    about = dict(kind=_KIND, format=FORMAT, predictor=self.predictor)
    content = save(tensors, about | {'sha256': _checksum(tensors, about)})
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
      path.parent.mkdir(parents=True, exist_ok=True)
      temporary.write_bytes(content)
      os.replace(temporary, path)
    except OSError as error:
      temporary.unlink(missing_ok=True)
      raise UserError(f'{path}: cannot be written ({error.strerror}).') from error


def load(path: pathlib.Path | str) -> Person:
  """Reads what `Person.save` wrote.

  Raises:
    UserError: the file is missing, damaged, of another kind, or of a newer format.
  """
  path = pathlib.Path(path)
  try:
    if path.stat().st_size > _MOST_BYTES:
      raise UserError(f'{path}: larger than a person can be; it is damaged, or no person.')
    with safe_open(path, framework='numpy') as file:
      about = dict(file.metadata() or {})
      if about.get('kind') != _KIND:
        raise UserError(f'{path}: not a person; expected a file that Person.save wrote.')
      if about.get('format') != FORMAT:
        raise UserError(
          f'{path}: a person of format {about.get("format")}, this version of persona_jax reads '
          f'format {FORMAT}; use the version that wrote it.'
        )
      if set(file.keys()) != set(_TENSORS):
        raise UserError(f'{path}: damaged (its tensors are not those of a person); adapt anew.')
      tensors = {name: np.asarray(file.get_tensor(name)) for name in _TENSORS}
  except OSError as error:
    raise UserError(
      f'{path}: cannot be read ({error.strerror or error}); name a file that Person.save wrote.'
    ) from error
  except SafetensorError as error:
    raise UserError(f'{path}: damaged ({error}); adapt anew.') from error
  expected = about.pop('sha256', None)
  count = len(tensors['clips']) if tensors['clips'].ndim else 0
  for name, (kind, axes) in _TENSORS.items():
    found = tensors[name]
    if found.dtype != kind or found.ndim != axes or len(found) != count:
      raise UserError(f'{path}: damaged ({name} is {found.dtype}{list(found.shape)}); adapt anew.')
  if _checksum(tensors, about) != expected:
    raise UserError(f'{path}: damaged (its checksum differs); adapt anew.')
  return Person(about['predictor'], **tensors)


def identifier(clip: str | bytes) -> np.uint64:
  """64 bits of the SHA-256 of a clip's name, or of its features where it has none."""
  content = clip.encode('utf-8', 'surrogatepass') if isinstance(clip, str) else clip
  return np.uint64(int.from_bytes(hashlib.sha256(content).digest()[:8], 'big'))


def _checksum(tensors: dict[str, np.ndarray], about: dict[str, str]) -> str:
  digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
  for name in sorted(tensors):
    digest.update(tensors[name].tobytes())
  return digest.hexdigest()
