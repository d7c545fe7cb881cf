"""Orbax checkpoints: one folder a stage and fold, `checkpoints/<stage>/<name>/<step>`.

A training state is some 750 small arrays, which cost Orbax 0.4 s of a core to save one by one and
0.04 s as one vector. So a checkpoint has two items: `leaves`, the bytes of all arrays one behind the
other, and `about`, JSON with the format, the arrays' names, types and shapes in that order, and a
checksum.
"""

import contextlib
import hashlib
import logging
import math
import pathlib
from typing import Any, Iterator

import jax
import numpy as np
import orbax.checkpoint as ocp

from persona_jax import parallel
from persona_jax.errors import UserError

Tree = Any
FORMAT = 2  # 1, of version 0.1, had an array a leaf and no checksum
KEPT = 3  # a kill may leave the folds of a group a save apart, and then one save may be damaged
_LOG = logging.getLogger(__name__)


class Checkpoints(contextlib.AbstractContextManager):
  """The newest checkpoints of one stage of one fold; saves in the background, waits on exit."""

  def __init__(self, workdir: pathlib.Path, stage: str, name: str):
    processes = ocp.options.MultiprocessingOptions(  # they meet at barriers of this manager's own
        barrier_sync_key_prefix=f'{stage}_{name}' if jax.process_count() > 1 else None)
    self._checkpoints, self._id = workdir / 'checkpoints', f'{stage}-{name}'
    self._folder = self._checkpoints / stage / name
    self._manager = ocp.CheckpointManager(
        self._folder.absolute(),
        options=ocp.CheckpointManagerOptions(max_to_keep=KEPT, create=True,
                                             multiprocessing_options=processes))

  def __exit__(self, *exception) -> None:
    with self._saving():
      self._manager.close()

  def steps(self) -> set[int]:
    """The steps of the complete checkpoints."""
    return set(self._manager.all_steps())

  def save(self, step: int, tree: Tree) -> None:
    """Starts saving a host tree as `step`: complete or absent, whenever the run is killed.

    A step that is there already, from a run that got further, is replaced.

    Raises:
      UserError: this or the save before it failed: a full disk, a folder gone or not writable.
    """
    with self._saving():
      if not self._folder.is_dir():
        raise OSError('the folder has vanished')
      if step in self.steps():
        self._manager.delete(step)
      leaves, about = _pack(tree)
      self._manager.save(step, args=ocp.args.Composite(
          leaves=ocp.args.StandardSave({'bytes': leaves}), about=ocp.args.JsonSave(about)))

  def load(self, step: int, like: Tree) -> Tree | None:
    """The tree saved as `step`, in numpy arrays; None if it is damaged, and then it is set aside.

    Args:
      like: has the tree's structure, shapes and types; arrays or structs.

    Raises:
      UserError: it was saved in another format or from another tree.
    """
    if (self._folder / str(step) / 'default').is_dir():
      raise self._refusal(step, 1)
    try:
      about = self._restore(step, about=ocp.args.JsonRestore())
      if about['format'] != FORMAT:
        raise self._refusal(step, about['format'])
      empty = {'bytes': np.zeros(_num_bytes(about['arrays']), np.uint8)}
      leaves = self._restore(step, leaves=ocp.args.StandardRestore(empty))['bytes']
      if _checksum(leaves, about['arrays']) != about['sha256']:
        raise ValueError('its checksum differs')
    except (UserError, PermissionError):
      raise
    except Exception as error:  # whatever Orbax makes of broken files
      self._set_aside(step, error)
      return None
    if about['arrays'] != _arrays(like):
      raise UserError(f'{self._folder / str(step)}: saved from another model; name another --workdir.')
    return _unpack(leaves, like)

  def _restore(self, step: int, **items: ocp.args.CheckpointArgs) -> Any:
    name, = items
    return self._manager.restore(step, args=ocp.args.Composite(**items))[name]

  def _refusal(self, step: int, found: int) -> UserError:
    return UserError(f'{self._folder / str(step)}: a checkpoint of format {found}, this version of '
                     f'persona_jax reads format {FORMAT}; go on with the version that wrote it, or '
                     'name another --workdir.')

  def _set_aside(self, step: int, error: Exception) -> None:
    damaged = self._checkpoints / 'damaged'
    number = len(list(damaged.glob(f'{self._id}-{step}-*')))
    target = damaged / f'{self._id}-{step}-{number}'
    _LOG.warning('%s is damaged (%s); set aside as %s.', self._folder / str(step), _reason(error),
                 target)
    if parallel.writes():
      damaged.mkdir(exist_ok=True)
      (self._folder / str(step)).rename(target)
    self._manager.reload()

  @contextlib.contextmanager
  def _saving(self) -> Iterator[None]:
    try:
      yield
    except Exception as error:  # Orbax passes on what the file system and its own threads raise
      raise UserError(f'{self._folder}: cannot be saved ({_reason(error)}). What was saved before is '
                      'intact; make room or mend the folder, and run the same command again.'
                      ) from error


def newest(saved: list[Checkpoints], likes: list[Tree]) -> tuple[int, list[Tree]] | None:
  """The newest step that all of `saved` hold undamaged, and their trees; None if there is none."""
  while steps := set.intersection(*(checkpoints.steps() for checkpoints in saved)):
    step = max(steps)
    trees = [checkpoints.load(step, like) for checkpoints, like in zip(saved, likes)]
    if all(tree is not None for tree in trees):
      return step, trees
  return None


def _reason(error: Exception) -> str:
  """The last clause of an error, which with TensorStore is the cause, behind paths and addresses."""
  return ' '.join(str(error).split()).rsplit(': ', 1)[-1][:200]


def _arrays(tree: Tree) -> list[list]:
  """[name, type, shape] of every leaf, as JSON gives them back."""
  return [[jax.tree_util.keystr(path), str(np.dtype(leaf.dtype)), list(leaf.shape)]
          for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _num_bytes(arrays: list[list]) -> int:
  return sum(np.dtype(dtype).itemsize * math.prod(shape) for _, dtype, shape in arrays)


def _pack(tree: Tree) -> tuple[np.ndarray, dict[str, Any]]:
  leaves = np.frombuffer(b''.join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)),
                         np.uint8)
  arrays = _arrays(tree)
  return leaves, dict(format=FORMAT, sha256=_checksum(leaves, arrays), arrays=arrays)


def _unpack(packed: np.ndarray, like: Tree) -> Tree:
  leaves, structure = jax.tree.flatten(like)
  buffer, offset, arrays = packed.tobytes(), 0, []
  for leaf in leaves:
    size = math.prod(leaf.shape)
    arrays.append(np.frombuffer(buffer, leaf.dtype, size, offset).reshape(leaf.shape))
    offset += arrays[-1].nbytes
  return jax.tree.unflatten(structure, arrays)


def _checksum(leaves: np.ndarray, arrays: list[list]) -> str:
  digest = hashlib.sha256(repr(arrays).encode())
  digest.update(np.ascontiguousarray(leaves))
  return digest.hexdigest()
