"""Pickles, read without running anything: plain containers, text, numbers and numpy arrays.

A pickle is a program that may call any function of any module. `load` does not run it with
`pickle`: it goes through the opcodes, as `pickletools` of the standard library lists them, and
knows only those that make plain values. A name is looked up in `pickled_arrays.NAMES` and nowhere
else. Protocols 2 to 5 are read; text of Python 2 becomes str, as latin-1.

What is made stays within the size of the file: an array is a view of bytes of the file, and the
number of values is limited. Opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

import pathlib
import pickletools
from typing import IO, Any, cast

from persona_jax.data.pickled_arrays import NAMES, Array, Damaged, Name, Type
from persona_jax.errors import UserError

_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
_LITERALS = frozenset(
  'BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES '
  'BINBYTES8 BYTEARRAY8 BINUNICODE SHORT_BINUNICODE BINUNICODE8'.split()
)
_EMPTY = {'EMPTY_LIST': list, 'EMPTY_TUPLE': tuple, 'EMPTY_DICT': dict}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
_STEPS = frozenset(  # a method of `_Machine` each
  'MARK TUPLE LIST DICT APPEND APPENDS SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE BINGET '
  'LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD'.split()
)
_DEEPEST = 20  # containers inside one another; files of features have three
_VALUES, _BYTES_PER_VALUE = 500_000, 32  # more values than this need a larger file


class _Refused(Exception):
  """Something that could run code, or that only such a pickle needs."""


def load(path: pathlib.Path) -> Any:
  """Reads a pickle of dicts, lists, tuples, text, numbers and numpy arrays.

  Returns:
    What it holds. Arrays are read-only; an array of objects holds str and bytes alone.

  Raises:
    UserError: the file cannot be read, is damaged, or names anything else. Nothing is run.
  """
  try:
    with path.open('rb') as file:
      return _load(_Bounded(file, path.stat().st_size))
  except OSError as error:
    raise UserError(f'{path}: cannot be read ({error.strerror}).') from error
  except _Refused as error:
    raise UserError(
      f'{path}: the pickle {error}; refused, and nothing of it was run: expected numpy arrays and '
      'plain containers alone.'
    ) from error
  except (ValueError, IndexError, TypeError, KeyError, OverflowError, MemoryError) as error:
    detail = ' '.join(str(error).split())[:200] or type(error).__name__
    raise UserError(
      f'{path}: not readable as a pickle of arrays ({detail}); download the file again.'
    ) from error


class _Bounded:
  """A file that never makes room for more bytes than it has left."""

  def __init__(self, file, size: int):
    self._file, self.size = file, size
    self.tell, self.readline = file.tell, file.readline

  def read(self, count: int) -> bytes:
    return self._file.read(min(count, self.size - self.tell()))


def _load(file: _Bounded) -> Any:
  machine = _Machine(file.size)
  opcodes = pickletools.genops(cast(IO[bytes], file))
  for number, (opcode, argument, _) in enumerate(cast(Any, opcodes)):
    if number == 0 and (opcode.name != 'PROTO' or not 2 <= argument <= 5):
      raise Damaged('expected protocol 2 to 5')
    if number > _VALUES + file.size // _BYTES_PER_VALUE:
      raise Damaged(f'more than {number - 1} values in {file.size} bytes')
    if opcode.name == 'STOP':
      return _finished(machine.stack.pop(), {}, 0)
    machine.step(opcode.name, argument)
  raise Damaged('no end')


class _Machine:
  """The stack and the memo of a pickle, and what each opcode does to them."""

  def __init__(self, size: int):
    self.stack: list[Any] = []
    self._marks: list[list[Any]] = []
    self._memo: dict[int, Any] = {}
    self._room = 2 * size  # bytes that may be made of text

  def step(self, opcode: str, argument: Any) -> None:
    if opcode in _LITERALS:
      self.stack.append(argument)
    elif opcode in _CONSTANTS:
      self.stack.append(_CONSTANTS[opcode])
    elif opcode in _EMPTY:
      self.stack.append(_EMPTY[opcode]())
    elif opcode in _TUPLES:
      count = _TUPLES[opcode]
      if len(self.stack) < count:
        raise Damaged('a tuple without its values')
      self.stack[-count:] = [tuple(self.stack[-count:])]
    elif opcode in _STEPS:
      getattr(self, f'_{opcode.lower()}')(argument)
    elif opcode not in ('PROTO', 'FRAME'):
      raise _Refused(f'has the opcode {opcode}')

  def _mark(self, _) -> None:
    self._marks.append(self.stack)
    self.stack = []

  def _popped_mark(self) -> list[Any]:
    values, self.stack = self.stack, self._marks.pop()
    return values

  def _tuple(self, _) -> None:
    values = self._popped_mark()
    self.stack.append(tuple(values))

  def _list(self, _) -> None:
    values = self._popped_mark()
    self.stack.append(values)

  def _dict(self, _) -> None:
    values = self._popped_mark()
    self.stack.append({})
    self._add_items(values)

  def _append(self, _) -> None:
    self._add([self.stack.pop()])

  def _appends(self, _) -> None:
    self._add(self._popped_mark())

  def _add(self, values: list[Any]) -> None:
    if not isinstance(self.stack[-1], list):
      raise Damaged('values without a list')
    self.stack[-1] += values

  def _setitem(self, _) -> None:
    value, key = self.stack.pop(), self.stack.pop()
    self._add_items([key, value])

  def _setitems(self, _) -> None:
    self._add_items(self._popped_mark())

  def _add_items(self, values: list[Any]) -> None:
    if not isinstance(self.stack[-1], dict) or len(values) % 2:
      raise Damaged('entries without a dict')
    for key, value in zip(values[::2], values[1::2], strict=True):
      # Never a tuple: of tuples nested in one another, a hash can take for ever.
      if not isinstance(key, (str, bytes, int)):
        raise Damaged(f'a key of type {type(key).__name__}')
      self.stack[-1][key] = value

  def _binput(self, place: int) -> None:
    self._memo[place] = self.stack[-1]

  _long_binput = _binput

  def _memoize(self, _) -> None:
    self._memo[len(self._memo)] = self.stack[-1]

  def _binget(self, place: int) -> None:
    self.stack.append(self._memo[place])

  _long_binget = _binget

  def _global(self, name: str) -> None:
    self._push_name(*name.split(' ', 1))

  def _stack_global(self, _) -> None:
    name, module = self.stack.pop(), self.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
      raise Damaged('a name that is no text')
    self._push_name(module, name)

  def _push_name(self, module: str, name: str) -> None:
    name = ascii(f'{module}.{name}'[:100])[1:-1]
    if name not in NAMES:
      raise _Refused(f'names {name}')
    self.stack.append(NAMES[name])

  def _reduce(self, _) -> None:
    arguments, name = self.stack.pop(), self.stack.pop()
    if not isinstance(name, Name) or name.call is None or not isinstance(arguments, tuple):
      raise _Refused('calls what is no function of numpy arrays')
    self._room -= sum(len(each) for each in arguments if isinstance(each, str))
    if self._room < 0:
      raise Damaged('more bytes than the file has')
    self.stack.append(name.call(*arguments))

  def _build(self, _) -> None:
    state = self.stack.pop()
    if not isinstance(self.stack[-1], (Array, Type)):
      raise _Refused('sets the state of what is no array')
    self.stack[-1].set_state(state)


def _finished(value: Any, seen: dict[int, Any], depth: int) -> Any:
  """The value with every `Array` in it replaced by its array; each container once."""
  if depth > _DEEPEST:
    raise Damaged(f'containers more than {_DEEPEST} deep')
  if isinstance(value, Array):
    if value.value is None:
      raise Damaged('an array without content')
    return value.value
  if isinstance(value, (Name, Type)):
    raise Damaged('a name in place of a value')
  if not isinstance(value, (list, tuple, dict)) or id(value) in seen:
    return seen.get(id(value), value)
  if isinstance(value, dict):
    done = {key: _finished(each, seen, depth + 1) for key, each in value.items()}
  else:
    done = type(value)(_finished(each, seen, depth + 1) for each in value)
  seen[id(value)] = done
  return done
