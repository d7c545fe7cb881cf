"""Orbax checkpoints of unfinished work: `checkpoints/<stage>/<name>/<step>`, the newest few.

A training state is some 750 small arrays. Orbax takes 0.4 s of a core to save them one by one, and
0.04 s as one vector. So a checkpoint has two items: `leaves`, the concatenated bytes of all arrays,
and `about`, JSON with the format, the arrays' names, types and shapes in that order, and a
checksum. Finished parameters are saved in another way: see `persona_jax.training.items`.
"""

import contextlib
import hashlib
import json
import math
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from persona_jax.errors import UserError
from persona_jax.training import damage

Tree = Any
FORMAT = 3  # 2, of version 0.2, also held finished parameters; 1, of 0.1, had an array per leaf
KEPT = 3  # so that a damaged one costs little
# How TensorStore's errors begin for content that it cannot decode: with a status, or with 'Error'
# for a broken compressed block. Other errors tell of the machine.
_UNREADABLE = re.compile(
  '(DATA_LOSS|OUT_OF_RANGE|NOT_FOUND|FAILED_PRECONDITION|INTERNAL|Error )(?!.*OS error)',
  re.S,
)


class Checkpoints(contextlib.AbstractContextManager):
  """The newest checkpoints of one stage of one fold; saves in the background, waits on exit."""

  def __init__(self, folder: pathlib.Path, stage: str, name: str):
    """Opens `<folder>/<stage>/<name>`, and makes it if need be."""
    processes = ocp.options.MultiprocessingOptions(  # they meet at barriers of this manager's own
      barrier_sync_key_prefix=f'{stage}_{name}' if jax.process_count() > 1 else None
    )
    self._checkpoints, self._id = folder, f'{stage}-{name}'
    self._folder = folder / stage / name
    self._manager = ocp.CheckpointManager(
      self._folder.absolute(),
      options=ocp.CheckpointManagerOptions(
        max_to_keep=KEPT, create=True, multiprocessing_options=processes
      ),
    )

  def __exit__(self, *exception) -> None:
    with self._saving():
      self._manager.close()

  def steps(self) -> set[int]:
    """The steps of the complete checkpoints."""
    return set(self._manager.all_steps())

  def save(self, step: int, tree: Tree) -> None:
    """Starts saving a host tree as `step`, the newest.

    If the run is killed meanwhile, the checkpoint is either complete or absent.

    Raises:
      UserError: this or the save before it failed: a full disk, a folder gone or not writable, or a
        checkpoint of this step or a later one that is there already.
    """
    with self._saving():
      if not self._folder.is_dir():
        raise OSError('the folder has vanished')
      leaves, about = _pack(tree)
      saved = self._manager.save(
        step,
        args=ocp.args.Composite(
          leaves=ocp.args.StandardSave({'bytes': leaves}), about=ocp.args.JsonSave(about)
        ),
      )
      if not saved:  # Orbax says no more than that
        raise OSError(f'step {step} is refused, since step {max(self.steps())} is there')

  def newest(self, like: Tree | None = None) -> tuple[int, Tree] | None:
    """The newest step that is not damaged, and its tree; None if there is none."""
    while steps := self.steps():
      step = max(steps)
      if (tree := self.load(step, like)) is not None:
        return step, tree
    return None

  def load(self, step: int, like: Tree | None = None) -> Tree | None:
    """The tree saved as `step`, in numpy arrays; None if it is damaged, and then it is set aside.

    Args:
      like: has the tree's structure, shapes and types, as arrays or structs. Without it the tree
        must be a dict of arrays.

    Raises:
      UserError: it was saved in another format or from another tree; or it cannot be read at
        present, and then it is left where it is.
    """
    folder = self._folder / str(step)
    if (folder / 'default').is_dir():
      raise self._refusal(step, 1)
    try:
      about = self._restore(step, about=ocp.args.JsonRestore())
      if about['format'] != FORMAT:
        raise self._refusal(step, about['format'])
      leaves = self._restore(
        step,
        leaves=ocp.args.StandardRestore({'bytes': np.zeros(_num_bytes(about['arrays']), np.uint8)}),
      )['bytes']
      if _checksum(leaves, about['arrays']) != about['sha256']:
        raise damage.Damaged('its checksum differs')
    except UserError:
      raise
    except Exception as error:  # whatever Orbax makes of broken files and of a machine's troubles
      if not _proves_damage(error, folder):
        raise damage.unreadable(folder, error) from error
      damage.set_aside(folder, self._checkpoints, f'{self._id}-{step}', error)
      self._manager.reload()
      return None
    if like is None:
      return _unpack_dict(leaves, about['arrays'])
    if about['arrays'] != _arrays(like):
      raise UserError(f'{folder}: saved from another model; name another --workdir.')
    return _unpack(leaves, like)

  def _restore(self, step: int, **items: ocp.args.CheckpointArgs) -> Any:
    (name,) = items
    return self._manager.restore(step, args=ocp.args.Composite(**items))[name]

  def _refusal(self, step: int, found: int) -> UserError:
    return damage.other_format(self._folder / str(step), found, FORMAT)

  @contextlib.contextmanager
  def _saving(self) -> Iterator[None]:
    try:
      yield
    except Exception as error:  # Orbax passes on what the file system and its own threads raise
      raise damage.unsaved(self._folder, error) from error


def _proves_damage(error: Exception, folder: pathlib.Path) -> bool:
  """Whether the content of a checkpoint is broken, rather than the machine short of something.

  An error of the operating system proves nothing (too many open files, a stale file handle, no
  memory), but for a file that is missing from a folder whose other files can be read.
  """
  undecodable = isinstance(
    error, (damage.Damaged, json.JSONDecodeError, UnicodeDecodeError, FileNotFoundError, KeyError)
  )
  undecodable |= isinstance(error, ValueError) and bool(_UNREADABLE.match(str(error)))
  return undecodable and damage.can_be_read(folder)


def _arrays(tree: Tree) -> list[list]:
  """[name, type, shape] of every leaf, as JSON gives them back."""
  return [
    [jax.tree_util.keystr(path), str(np.dtype(leaf.dtype)), list(leaf.shape)]
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  ]


def _num_bytes(arrays: list[list]) -> int:
  return sum(np.dtype(dtype).itemsize * math.prod(shape) for _, dtype, shape in arrays)


def _pack(tree: Tree) -> tuple[np.ndarray, dict[str, Any]]:
  leaves = np.frombuffer(
    b''.join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)), np.uint8
  )
  arrays = _arrays(tree)
  return leaves, dict(format=FORMAT, sha256=_checksum(leaves, arrays), arrays=arrays)


def _unpack(packed: np.ndarray, like: Tree) -> Tree:
  leaves, structure = jax.tree.flatten(like)
  return jax.tree.unflatten(
    structure, _split(packed, [(leaf.dtype, leaf.shape) for leaf in leaves])
  )


def _unpack_dict(packed: np.ndarray, arrays: list[list]) -> dict[str, np.ndarray]:
  names = [name.removeprefix("['").removesuffix("']") for name, *_ in arrays]
  leaves = _split(packed, [(np.dtype(dtype), shape) for _, dtype, shape in arrays])
  return dict(zip(names, leaves, strict=True))


def _split(packed: np.ndarray, wanted: list[tuple[np.dtype, tuple[int, ...]]]) -> list[np.ndarray]:
  buffer, offset, arrays = packed.tobytes(), 0, []
  for dtype, shape in wanted:
    arrays.append(np.frombuffer(buffer, dtype, math.prod(shape), offset).reshape(shape))
    offset += arrays[-1].nbytes
  return arrays


def _checksum(leaves: np.ndarray, arrays: list[list]) -> str:
  digest = hashlib.sha256(repr(arrays).encode())
  digest.update(np.ascontiguousarray(leaves).data)
  return digest.hexdigest()
