"""What a corpus was made from: the fields of `config.data`, and its files with their sums."""

import hashlib
import pathlib
from importlib import metadata
from typing import Any

from persona_jax.data import checksums, own_clips, source_files
from persona_jax.types import Config


def of(config: Config) -> dict[str, Any]:
  """What a corpus of this config was made from, without dates and folders.

  Returns:
    {'persona_jax': version, 'data': the fields of `config.data` but `root`, 'modalities': [...],
    'files': [{'name': relative to `root`, 'size': bytes, 'sha256': digest}, ...]}. The arrays of a
    table are one entry, with the digest of what `sha256sum` would write of them, sorted by name.

  Raises:
    UserError: a file cannot be read.
  """
  data = config.data.to_dict()
  root = data.pop('root', '')
  return {
    'persona_jax': metadata.version('persona-jax'),
    'data': data,
    'modalities': list(config.model.modalities),
    'files': _files(config, pathlib.Path(root)) if root else [],
  }


def _files(config: Config, root: pathlib.Path) -> list[dict[str, Any]]:
  data, modalities = config.data, config.model.modalities
  named = [data.file] if data.file else [data.labels, *(data[m] for m in modalities)]
  found = []
  for name in named + [data.speakers] * bool(data.speakers):
    path = root / name
    found += [_entry(root, part) for part in (sorted(path.glob('*.csd')) or [path])]
  if data.file and source_files.kind(root / data.file) == source_files.TABLE:
    found.append(_of_arrays(root / data.file, modalities))
  return found


def _entry(root: pathlib.Path, path: pathlib.Path) -> dict[str, Any]:
  name, size = path.relative_to(root).as_posix(), path.stat().st_size
  return {'name': name, 'size': size, 'sha256': checksums.sha256(path)}


def _of_arrays(table: pathlib.Path, modalities: Any) -> dict[str, Any]:
  entries = [_entry(table.parent, path) for path in own_clips.array_paths(table, modalities)]
  lines = ''.join(f'{each["sha256"]}  {each["name"]}\n' for each in entries)
  return {
    'name': f'arrays of {table.name}',
    'size': sum(each['size'] for each in entries),
    'sha256': hashlib.sha256(lines.encode(errors='surrogatepass')).hexdigest(),
  }
