"""What is predicted: sentiment, or one of the emotions of CMU-MOSEI, with the range of its labels.

Emotions are rated 0 (no evidence) to 3 (highly present), and count as present above 0: Zadeh et al.
2018, section 3 (https://aclanthology.org/P18-1208).
"""

import dataclasses

import numpy as np

from persona_jax.errors import UserError
from persona_jax.types import Array, Config


@dataclasses.dataclass(frozen=True)
class Target:
  """One column of labels.

  Attributes:
    name: 'sentiment', or the emotion's.
    low, high: the least and the greatest label.
  """

  name: str
  low: float
  high: float

  @property
  def is_emotion(self) -> bool:
    return self.name != 'sentiment'

  @property
  def range(self) -> str:
    """Such as '-3 to 3'."""
    return f'{self.low:g} to {self.high:g}'

  @property
  def points(self) -> str:
    """What a difference of labels is called."""
    return f'points of {self.name}' if self.is_emotion else 'sentiment points'

  def scaled(self, values: Array) -> Array:
    """Labels or predictions, with the range stretched to that of sentiment."""
    if not self.is_emotion:
      return values
    share = (SENTIMENT.high - SENTIMENT.low) / (self.high - self.low)
    return ((values - self.low) * share + SENTIMENT.low).astype(np.float32)

  def unscaled(self, values: np.ndarray) -> np.ndarray:
    """What `scaled` was made from."""
    if not self.is_emotion:
      return values
    share = (self.high - self.low) / (SENTIMENT.high - SENTIMENT.low)
    return ((values - SENTIMENT.low) * share + self.low).astype(np.float32)

  def holds(self, label: float) -> bool:
    """Whether a label is in range; False for NaN."""
    return bool(self.low <= label <= self.high)


SENTIMENT = Target('sentiment', -3.0, 3.0)
# The columns of CMU-MOSEI's labels, in their order in the file
# (https://github.com/A2Zadeh/CMU-MultimodalSDK/issues/191).
EMOTIONS = ('happiness', 'sadness', 'anger', 'surprise', 'disgust', 'fear')
COLUMNS = ('sentiment', *EMOTIONS)
_ALIASES = {'happy': 'happiness', 'sad': 'sadness', 'angry': 'anger', 'surprised': 'surprise'}


def standard_name(name: str) -> str:
  """A column's name as in `COLUMNS`, where it has one there."""
  name = name.strip().lower()
  return _ALIASES.get(name, name)


def named(name: str) -> Target:
  """The target of a name in `COLUMNS`, or of its number.

  Raises:
    UserError: there is none.
  """
  column = name.strip()
  if column.isdecimal() and int(column) < len(COLUMNS):
    column = COLUMNS[int(column)]
  if column not in COLUMNS:
    raise UserError(
      f'config.data.target = {name!r}: expected one of {", ".join(COLUMNS)}, or its number, 0 to '
      f'{len(COLUMNS) - 1}.'
    )
  return SENTIMENT if column == 'sentiment' else Target(column, 0.0, 3.0)


def of(config: Config) -> Target:
  """The target of a config; a synthetic corpus has sentiment alone."""
  return named(config.data.get('target', SENTIMENT.name))
