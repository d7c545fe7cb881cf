"""The files of a workdir: their names, how they are replaced whole, and tables that keep any name.

Text is UTF-8, whatever the locale.
"""

import contextlib
import csv
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TextIO

from persona_jax.errors import UserError

CONFIG, ENVIRONMENT, CORPUS = 'config.json', 'environment.json', 'corpus.json'
PREDICTIONS, RECORDS, CURVES = 'predictions.csv', 'records.jsonl', 'curves.csv'
ATTENTION = 'attention.json'
REPORT, PAGE, FIGURES = 'report.md', 'report.html', 'figures'
CONTROLS = 'controls'  # a folder of records per control
LOCK = '.lock'
CHECKPOINTS, TEACHERS = 'checkpoints', 'teachers'


def _open(path: pathlib.Path, mode: Literal['r', 'w'] = 'r') -> TextIO:
  """Opens text as it is: no newline is translated."""
  # Names from feature files may hold half surrogate pairs, which UTF-8 proper has no bytes for.
  return path.open(mode, newline='', encoding='utf-8', errors='surrogatepass')


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[TextIO]:
  """Opens a file of text that replaces `path` as a whole when the block ends.

  Raises:
    UserError: it cannot be written; the old one is still there, and nothing else.
  """
  with replacing_path(path) as temporary, _open(temporary, 'w') as file:
    yield file


@contextlib.contextmanager
def replacing_path(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields where to write a file that replaces `path` as a whole when the block ends.

  Raises:
    UserError: it cannot be written; the old one is still there, and nothing else.
  """
  temporary = path.with_name(f'.{path.name}.tmp')
  try:
    yield temporary
    with temporary.open('rb') as file:
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except BaseException as error:
    with contextlib.suppress(OSError):  # it may never have been made
      temporary.unlink()
    if not isinstance(error, OSError):
      raise
    raise UserError(
      f'{path}: cannot be written ({error.strerror or error}); free disk space or fix permissions, '
      'and run the same command again.'
    ) from error


def write_text(path: pathlib.Path, text: str) -> None:
  """Replaces a file in one step; raises `UserError` as `replacing` does."""
  with replacing(path) as file:
    file.write(text)


def write_json(path: pathlib.Path, content: dict) -> None:
  write_text(path, json.dumps(content, indent=2) + '\n')


def read_text(path: pathlib.Path) -> str:
  """What `write_text` wrote."""
  with _open(path) as file:
    return file.read()


def read_json(path: pathlib.Path) -> dict:
  """Raises `UserError` when the file is absent or not a JSON object."""
  try:
    content = json.loads(read_text(path))
  except OSError as error:
    raise UserError(
      f'{path}: not readable ({error.strerror}); is {path.parent} the workdir of a study?'
    ) from error
  except ValueError as error:  # also where the bytes are not UTF-8
    raise UserError(f'{path}: not JSON ({error}); expected a file that a study wrote.') from error
  if not isinstance(content, dict):
    raise UserError(f'{path}: holds no JSON object; expected a file that a study wrote.')
  return content


def read_lines(path: pathlib.Path) -> Iterator[tuple[int, dict]]:
  """Yields the line number (from 1) and the object of every line of a file of JSON lines.

  Raises:
    UserError: a line is not a JSON object.
  """
  with path.open('rb') as file:
    for number, line in enumerate(file, start=1):
      try:
        content = json.loads(line)
      except ValueError as error:
        raise UserError(
          f'{path}, line {number}: not JSON ({error}); remove the line, or run '
          'launch.study with this workdir again.'
        ) from error
      if not isinstance(content, dict):
        raise UserError(f'{path}, line {number}: not a JSON object; expected a record of a study.')
      yield number, content


class CsvWriter:
  """Rows of CSV that end in '\\n', in which every text can be read back."""

  def __init__(self, file: TextIO):
    self._file = file
    # If lines end in '\n', Python 3.11's writer leaves '\r' in a name unquoted, and readers end the
    # row there. So this one ends lines in '\r\n'; it calls `write` once per row.
    self._writer = csv.writer(self, lineterminator='\r\n')
    self.writerow = self._writer.writerow

  def write(self, row: str) -> None:
    self._file.write(row.removesuffix('\r\n') + '\n')


def read_csv(
  path: pathlib.Path, fields: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[list[str | None]]:
  """Yields a table's rows: the values of `fields`, then of `optional`, None for an absent column.

  Raises:
    UserError: a column is missing, or a row has more or fewer values than the header.
  """
  with _open(path) as file:
    rows = csv.reader(file)
    header = _next(path, rows) or []
    missing = [field for field in fields if field not in header]
    if missing:
      raise UserError(f'{path}: no column {missing[0]}; expected a table that a study wrote.')
    order = [header.index(field) if field in header else None for field in (*fields, *optional)]
    while (row := _next(path, rows)) is not None:
      if len(row) != len(header):
        raise UserError(
          f'{path}, line {rows.line_num}: {len(row)} values, expected {len(header)}; run '
          'launch.study with this workdir again.'
        )
      yield [None if place is None else row[place] for place in order]


def _next(path: pathlib.Path, rows: Iterator[list[str]]) -> list[str] | None:
  try:
    return next(rows, None)
  except (csv.Error, UnicodeDecodeError) as error:
    raise UserError(
      f'{path}: not a table of text ({error}); run launch.study with this workdir again.'
    ) from error


def as_numbers(path: pathlib.Path, kinds: Sequence[type], values: Sequence[str]) -> list[Any]:
  """The values as these kinds of numbers; raises `UserError` for one that is none."""
  try:
    return [kind(value) for kind, value in zip(kinds, values, strict=True)]
  except ValueError as error:
    raise UserError(
      f'{path}: {error}; expected a number, run launch.study with this workdir again.'
    ) from error
