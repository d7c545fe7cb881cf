"""safetensors files with a kind, a format and a checksum: written whole, read without any code."""

import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from persona_jax.errors import UserError

_MOST_BYTES = 2**31  # far above any person


def write(path: pathlib.Path, tensors: Mapping[str, np.ndarray], about: Mapping[str, str]) -> None:
  """Replaces the file in one step, so that a reader never sees half of it.

  Args:
    path: of the file.
    tensors: by name.
    about: of the kind and format, and what else is known.

  Raises:
    UserError: it cannot be written; the old file is unchanged.
  """
  whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
  content = save(whole, dict(about) | {'sha256': _checksum(whole, about)})
  temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(content)
    os.replace(temporary, path)
  except OSError as error:
    with contextlib.suppress(OSError):  # it may never have been made
      temporary.unlink()
    raise UserError(
      f'{path}: cannot be written ({error.strerror}); free disk space or fix permissions.'
    ) from error


def read(
  path: pathlib.Path, kind: str, version: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """The tensors, and what is known of them.

  Raises:
    UserError: the file is missing, damaged, of another kind, or of a newer format.
  """
  try:
    if path.stat().st_size > _MOST_BYTES:
      raise UserError(f'{path}: larger than a person can be; it is damaged, or no person.')
    with safe_open(path, framework='numpy') as file:
      about = dict(file.metadata() or {})
      if about.get('kind') != kind:
        raise UserError(f'{path}: not a {kind}; it says that it is {about.get("kind")!r}.')
      if about.get('format') != version:
        raise UserError(
          f'{path}: a {kind} of format {about.get("format")}, this version of persona_jax reads '
          f'format {version}; use the version that wrote it.'
        )
      tensors = {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
  except OSError as error:
    raise UserError(f'{path}: cannot be read ({error.strerror or error}); adapt first.') from error
  except (SafetensorError, ValueError, TypeError) as error:
    raise UserError(f'{path}: damaged ({" ".join(str(error).split())}); adapt anew.') from error
  expected = about.pop('sha256', None)
  if _checksum(tensors, about) != expected:
    raise UserError(f'{path}: damaged (its checksum differs); adapt anew.')
  return tensors, about


def _checksum(tensors: Mapping[str, np.ndarray], about: Mapping[str, str]) -> str:
  digest = hashlib.sha256(json.dumps(dict(about), sort_keys=True).encode())
  for name in sorted(tensors):
    digest.update(f'{name} {tensors[name].dtype} {tensors[name].shape}'.encode())
    digest.update(tensors[name].tobytes())
  return digest.hexdigest()
