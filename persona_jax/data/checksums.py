"""Files compared with a list of SHA-256 sums, as the command `sha256sum` writes it."""

import hashlib
import pathlib
import re

from persona_jax.errors import UserError

_LINE = re.compile(r'(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)')


def verify(sums: pathlib.Path, root: pathlib.Path) -> int:
  """Compares every file that `sums` lists; returns how many there are.

  Args:
    sums: lines of a digest, two spaces (or a space and '*'), and a file name.
    root: the folder that the names are relative to.

  Raises:
    UserError: `sums` cannot be read, or a file is missing or differs.
  """
  missing, different = [], []
  expected = _expected(sums)
  for name, digest in expected.items():
    path = root / name
    if not path.is_file():
      missing.append(name)
    elif sha256(path) != digest:
      different.append(name)
  if missing or different:
    told = [f'missing: {", ".join(missing)}'] * bool(missing)
    told += [f'different: {", ".join(different)}'] * bool(different)
    raise UserError(
      f'{sums}: of its {len(expected)} files, {len(missing) + len(different)} in {root} are not as '
      f'listed ({"; ".join(told)}); download these again.'
    )
  return len(expected)


def _expected(sums: pathlib.Path) -> dict[str, str]:
  """{name: digest} of the listed files."""
  try:
    lines = sums.read_text(encoding='utf-8').splitlines()
  except OSError as error:
    raise UserError(
      f'{sums}: not readable ({error.strerror}); expected a file that sha256sum wrote.'
    ) from error
  except UnicodeDecodeError as error:
    raise UserError(f'{sums}: not UTF-8 text; expected a file that sha256sum wrote.') from error
  expected = {}
  for number, line in enumerate(lines, start=1):
    if not line.strip():
      continue
    match = _LINE.fullmatch(line)
    if not match:
      raise UserError(
        f'{sums}, line {number}: {line[:100]!r}: expected 64 hexadecimal digits, two spaces and a '
        'file name, as sha256sum writes them.'
      )
    expected[match['name']] = match['digest'].lower()
  if not expected:
    raise UserError(f'{sums}: lists no file; expected lines that sha256sum wrote.')
  return expected


def sha256(path: pathlib.Path) -> str:
  """The digest of a file; raises `UserError` where it cannot be read."""
  try:
    with path.open('rb') as file:
      return hashlib.file_digest(file, 'sha256').hexdigest()
  except OSError as error:
    raise UserError(f'{path}: not readable ({error.strerror}).') from error
