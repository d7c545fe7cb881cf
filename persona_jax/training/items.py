"""Finished parameters: a folder each, with an ordinary Orbax item and a manifest.

  <folder>/params/     `ocp.StandardCheckpointer().restore(<folder>/params)` gives the parameters,
                       without this package
  <folder>/about.json  what is known of them, and the SHA-256 of every file in `params`

A folder is written under another name and renamed when it is whole.
"""

import hashlib
import json
import pathlib
import shutil
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from persona_jax import files
from persona_jax.errors import UserError
from persona_jax.training import damage
from persona_jax.types import Params

FORMAT = 1
PARAMS, ABOUT = 'params', 'about.json'


def write(
  folder: pathlib.Path, params: Params, facts: dict[str, Any], manifest: str = ABOUT
) -> None:
  """Writes host parameters and what is known of them, as JSON holds it; one process calls it.

  Raises:
    UserError: they cannot be saved; no part of them is left.
  """
  temporary = folder.with_name(f'.{folder.name}.tmp')
  try:
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
    temporary.mkdir(parents=True)
    with _checkpointer() as checkpointer:
      checkpointer.save((temporary / PARAMS).absolute(), params)
    about = dict(format=FORMAT, **facts, files=_hashes(temporary / PARAMS))
    files.write_json(temporary / manifest, about | {'sha256': _hash_of(about)})
    temporary.rename(folder)
  except Exception as error:  # Orbax passes on what the file system and its own threads raise
    shutil.rmtree(temporary, ignore_errors=True)
    raise damage.unsaved(folder, error) from error


def read(
  folder: pathlib.Path, like: Params, manifest: str = ABOUT
) -> tuple[Params, dict[str, Any]] | None:
  """The parameters, in numpy arrays, and what is known of them; None if there is no such folder.

  Args:
    like: has the parameters' structure, shapes and types; arrays or structs.

  Raises:
    Damaged: the folder does not hold what was written.
    UserError: it is of another format or model; or it cannot be read at present.
  """
  if not folder.exists():
    return None
  try:
    about = read_facts(folder, manifest)
    if about['format'] != FORMAT:
      raise damage.other_format(folder, about['format'], FORMAT)
    if _hashes(folder / PARAMS) != about['files']:
      raise damage.Damaged(f'{folder}: a checksum differs')
    with _checkpointer() as checkpointer:
      params = checkpointer.restore((folder / PARAMS).absolute())
  except (UserError, damage.Damaged):
    raise
  except Exception as error:  # the files are those written: this is no damage
    raise damage.unreadable(folder, error) from error
  if _shapes(params) != _shapes(like):
    raise UserError(f'{folder}: saved from another model; name another --workdir.')
  return jax.tree.map(np.asarray, params), about


def read_facts(folder: pathlib.Path, manifest: str = ABOUT) -> dict[str, Any]:
  """What is known of the parameters, without reading them.

  Raises:
    Damaged: the manifest is not the one that was written.
  """
  try:
    about = json.loads((folder / manifest).read_text())
    expected = about.pop('sha256')
  except (FileNotFoundError, ValueError, KeyError, AttributeError, TypeError) as error:
    raise damage.Damaged(f'{folder / manifest}: missing or broken') from error
  if _hash_of(about) != expected:
    raise damage.Damaged(f'{folder / manifest}: its checksum differs')
  return about


def _checkpointer() -> ocp.StandardCheckpointer:
  """Of this process alone: the others of a run neither write nor wait."""
  return ocp.StandardCheckpointer(
    multiprocessing_options=ocp.options.MultiprocessingOptions(
      primary_host=jax.process_index(),
      active_processes={jax.process_index()},
      barrier_sync_key_prefix=f'process_{jax.process_index()}',
    )
    if jax.process_count() > 1
    else ocp.options.MultiprocessingOptions()
  )


def _shapes(tree: Params) -> dict[str, tuple]:
  return {
    jax.tree_util.keystr(path): (tuple(leaf.shape), str(np.dtype(leaf.dtype)))
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def _hashes(folder: pathlib.Path) -> dict[str, str]:
  return {
    str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(folder.rglob('*'))
    if path.is_file()
  }


def _hash_of(about: dict[str, Any]) -> str:
  return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
