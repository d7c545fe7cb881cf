"""A person: the evidence of each labelled clip, in a small safetensors file.

What is stored of a clip is a row of numbers: its label, what the predictor says of it, the
principal components of what the predictor's head reads, whether it was chosen by its label, and an
identifier (64 bits of a SHA-256). No word, sound, image or file name is stored, and no date. The
sums that a prediction needs are computed from the rows, sorted by identifier. So the same clips
give the same person to the last bit, in whatever order they came, and a clip that is forgotten
leaves nothing behind.

The file has 97 bytes per clip (`num_components` is 20) and about 500 more: 36 clips fit into 4 KB.
The sums alone would have a constant size, but one clip could not be taken out of them again: its
share is made of all the numbers of its row. Sums of float32 would also depend on the order.
"""

import dataclasses
import hashlib
import pathlib

import numpy as np

from persona_jax.errors import UserError
from persona_jax.predictor import tensor_files

KIND, FORMAT = 'person', '1'
# {tensor: its type and number of axes}
_TENSORS = {
  'clips': (np.uint64, 1),
  'labels': (np.float32, 1),
  'predictions': (np.float32, 1),
  'components': (np.float32, 2),
  'chosen': (np.bool_, 1),
}


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
    about = dict(kind=KIND, format=FORMAT, predictor=self.predictor)
    tensor_files.write(pathlib.Path(path), {name: getattr(self, name) for name in _TENSORS}, about)


def load(path: pathlib.Path | str) -> Person:
  """Reads what `Person.save` wrote.

  Raises:
    UserError: the file is missing, damaged, of another kind, or of a newer format.
  """
  tensors, about = tensor_files.read(pathlib.Path(path), KIND, FORMAT)
  if set(tensors) != set(_TENSORS) or 'predictor' not in about:
    raise UserError(f'{path}: damaged (its tensors are not those of a person); adapt anew.')
  count = len(tensors['clips']) if tensors['clips'].ndim else 0
  for name, (kind, axes) in _TENSORS.items():
    found = tensors[name]
    if found.dtype != kind or found.ndim != axes or len(found) != count:
      raise UserError(f'{path}: damaged ({name} is {found.dtype}{list(found.shape)}); adapt anew.')
  return Person(about['predictor'], **tensors)


def identifier(clip: str | bytes) -> np.uint64:
  """64 bits of the SHA-256 of a clip's name, or of its features where it has none."""
  content = clip.encode('utf-8', 'surrogatepass') if isinstance(clip, str) else clip
  return np.uint64(int.from_bytes(hashlib.sha256(content).digest()[:8], 'big'))
