"""What a pickle may name: the few functions that numpy's arrays are pickled with, made safe.

None of numpy's own functions is called with what a file says. Each name has a stand-in here that
checks its arguments and makes the array with `np.frombuffer`, so an array is never larger than the
bytes that the file holds for it. Source: `__reduce__` and `__reduce_ex__` of numpy.ndarray,
numpy.dtype and numpy.generic
(https://numpy.org/doc/stable/reference/generated/numpy.ndarray.__reduce_ex__.html).
"""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Literal

import numpy as np

_MOST_AXES = 8
_TYPE = re.compile(r'[<>|=]?[biufSUO]\d{1,9}')


class Damaged(ValueError):
  """What a pickle says that no pickle of arrays says."""


@dataclasses.dataclass(frozen=True)
class Name:
  """A name that may occur in a pickle.

  Attributes:
    call: makes a value from the arguments; None for a class that is only an argument.
  """

  call: Callable[..., object] | None


@dataclasses.dataclass
class Type:
  """A numpy.dtype, whose byte order a pickle sets afterwards."""

  dtype: np.dtype

  def set_state(self, state: object) -> None:
    if not (isinstance(state, tuple) and len(state) >= 5 and state[2:5] == (None, None, None)):
      raise Damaged('a type with fields; expected numbers or text')
    if state[1] not in ('<', '>', '=', '|'):
      raise Damaged(f'a type of byte order {state[1]!r:.20}')
    if state[1] in '<>':
      self.dtype = self.dtype.newbyteorder(state[1])


@dataclasses.dataclass
class Array:
  """A numpy.ndarray, whose content a pickle sets afterwards."""

  value: np.ndarray | None = None

  def set_state(self, state: object) -> None:
    if not (isinstance(state, tuple) and len(state) == 5):
      raise Damaged('an array without shape, type and content')
    _, shape, kind, is_fortran, content = state
    self.value = _array(content, kind, shape, 'F' if is_fortran else 'C')


def _array(content: object, kind: object, shape: object, order: Literal['C', 'F']) -> np.ndarray:
  if not isinstance(kind, Type):
    raise Damaged('an array without a type')
  if not isinstance(shape, tuple) or len(shape) > _MOST_AXES:
    raise Damaged(f'an array of more than {_MOST_AXES} axes')
  if not all(type(n) is int and 0 <= n < 2**48 for n in shape):
    raise Damaged('an array whose shape is none')
  count = math.prod(shape)
  if kind.dtype.kind == 'O':
    return _objects(content, count).reshape(shape, order=order)
  content = content.encode('latin-1') if isinstance(content, str) else content  # of Python 2
  if not isinstance(content, (bytes, bytearray)) or len(content) != count * kind.dtype.itemsize:
    held = len(content) if isinstance(content, (bytes, bytearray)) else 'no'
    raise Damaged(f'an array {kind.dtype}{list(shape)} with {held} bytes of content')
  if not content:
    return np.zeros(shape, kind.dtype)
  return np.frombuffer(content, kind.dtype).reshape(shape, order=order)


def _objects(content: object, count: int) -> np.ndarray:
  if not isinstance(content, list) or len(content) != count:
    raise Damaged('an array of objects without its objects')
  other = next((each for each in content if not isinstance(each, (str, bytes))), None)
  if other is not None:
    raise Damaged(f'an array of objects that holds {type(other).__name__}; expected text alone')
  objects = np.empty(count, object)
  objects[:] = content
  return objects


def _reconstruct(kind: object, shape: object, code: object) -> Array:
  if kind is not NDARRAY or shape != (0,) or code not in (b'b', 'b'):
    raise Damaged('an array that is not made empty first')
  return Array()


def _dtype(text: object, *flags: object) -> Type:
  text = text.decode('latin-1') if isinstance(text, bytes) else text
  if not isinstance(text, str) or not _TYPE.fullmatch(text) or len(flags) > 2:
    raise Damaged(f'numpy type {text!r:.40}; expected numbers or text')
  return Type(np.dtype('O' if 'O' in text else text))


def _scalar(kind: object, content: object = b'') -> object:
  return _array(content, kind, (1,), 'C')[0]


def _from_buffer(content: object, kind: object, shape: object, order: object) -> Array:
  return Array(_array(content, kind, shape, 'F' if order == 'F' else 'C'))


def _encode(text: object, encoding: object) -> bytes:
  if not isinstance(text, str) or encoding not in ('latin1', 'latin-1'):
    raise Damaged('bytes that are not written as latin-1')
  return text.encode('latin-1')


def _bytes() -> bytes:
  return b''


NDARRAY = Name(None)
_CORES = ('numpy.core', 'numpy._core')
NAMES = {
  'numpy.ndarray': NDARRAY,
  'numpy.dtype': Name(_dtype),
  '_codecs.encode': Name(_encode),
  **{f'{core}.multiarray._reconstruct': Name(_reconstruct) for core in _CORES},
  **{f'{core}.multiarray.scalar': Name(_scalar) for core in _CORES},
  **{f'{core}.numeric._frombuffer': Name(_from_buffer) for core in _CORES},
  # Bytes without content, in protocol 2.
  '__builtin__.bytes': Name(_bytes),
}
