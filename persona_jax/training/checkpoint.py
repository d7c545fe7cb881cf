"""Orbax checkpoints: one folder a stage and fold, `checkpoints/<stage>/<name>`."""

import contextlib
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

Tree = Any
KEPT = 2  # folds of one group may be an epoch apart when a run is killed


class Checkpoints(contextlib.AbstractContextManager):
  """The checkpoints of one stage of one fold; saves in the background, waits on exit."""

  def __init__(self, workdir: pathlib.Path, stage: str, name: str):
    processes = ocp.options.MultiprocessingOptions(  # they meet at barriers of this manager's own
        barrier_sync_key_prefix=f'{stage}_{name}' if jax.process_count() > 1 else None)
    self._manager = ocp.CheckpointManager(
        (workdir / 'checkpoints' / stage / name).absolute(),
        options=ocp.CheckpointManagerOptions(max_to_keep=KEPT, create=True,
                                             multiprocessing_options=processes))

  def __exit__(self, *exception) -> None:
    self._manager.close()

  def steps(self) -> set[int]:
    """The steps of the complete checkpoints."""
    return set(self._manager.all_steps())

  def save(self, step: int, tree: Tree) -> None:
    """Starts saving a host tree as `step`: complete or absent, whenever the run is killed.

    A step that is there already, from a run that got further, is replaced.
    """
    if step in self.steps():
      self._manager.delete(step)
    self._manager.save(step, args=ocp.args.StandardSave(tree))

  def restore(self, step: int, like: Tree) -> Tree:
    """Restores `step` as numpy arrays; `like` has the shapes and types, arrays or structs."""
    empty = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    return self._manager.restore(step, args=ocp.args.StandardRestore(empty))


def fold_name(rank: int) -> str:
  return f'fold_{rank:02d}'
