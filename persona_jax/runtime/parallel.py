"""Folds and draws laid over devices: one program runs a group of folds, whatever the machine.

A function of one fold is mapped over a leading fold axis. Between devices the axis is sharded.
FineTuner has a second axis, the fold's trials, which share out the devices that folds leave over.
Within a device it is `vmap` on accelerators, where one fold alone leaves the chip idle, and a loop
on CPUs: there the work is bound by caches, and batching ten folds' weights only makes each slower.

With several processes (`jax.distributed`) the mesh spans them all. Every process then runs the same
program on the same host values, and process 0 alone writes files and speaks.
"""

import math
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from persona_jax.runtime import allocator, compiling

Tree = Any
FOLD, TRIAL = AXES = ('fold', 'trial')
CLIP = 'clip'

# The share of what JAX takes of an accelerator's memory for the copies of the model that learn at a
# time: beside them lie attention's scores (3 GB), the corpus and the folds' states. JAX takes 12 GB
# of a card of 16 GB, as is assumed where a device doesn't say how much it has.
_LEARNING_SHARE, _ASSUMED_BYTES = 0.5, 12 * 10**9

# An accelerator than two CPU cores, by what `persona_jax.data.buckets` estimates of those: an epoch
# of ten folds of the paper's unaligned study, on an H100.
_TIMES_FASTER = 80.0


def fold_mesh() -> Mesh:
  """All devices in a row."""
  return jax.make_mesh((jax.device_count(),), (FOLD,), axis_types=(AxisType.Auto,))


def trial_mesh(num_folds: int) -> Mesh:
  """Devices in rows: `num_folds` fill the rows evenly, and a row shares its folds' trials."""
  rows = math.gcd(num_folds, jax.device_count())
  return jax.make_mesh((rows, jax.device_count() // rows), AXES, axis_types=(AxisType.Auto,) * 2)


def group_size(num_folds: int, mesh: Mesh, fold_bytes: int) -> int:
  """How many folds one program holds: a multiple of the mesh's fold axis.

  On CPUs one per row of devices, so that a group is done soon and little is lost when a run is
  killed. On accelerators all folds, or as many as memory holds.

  Args:
    fold_bytes: what a fold takes, by `persona_jax.training.memory`.
  """
  rows = mesh.shape[FOLD]
  return rows if _loops() else rows * _even_share(-(-num_folds // rows), fold_bytes)


def prediction_group_size(num_folds: int, mesh: Mesh, fold_bytes: int) -> int:
  """How many folds' predictions one call makes: all on CPUs, else as many as memory holds."""
  return num_folds if _loops() else group_size(num_folds, mesh, fold_bytes)


def learning_bytes() -> int:
  """The memory of an accelerator for the copies of the model that learn at a time."""
  return int(_LEARNING_SHARE * _accelerator_bytes())


def feature_bytes() -> int:
  """The most bytes of features that lie on a device from the beginning to the end.

  A quarter of what JAX takes of an accelerator's memory; on CPUs, half of the machine's memory.
  """
  if _loops():
    return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // 2
  return _accelerator_bytes() // 4


def _accelerator_bytes() -> int:
  """What JAX takes of an accelerator's memory."""
  stats = jax.local_devices()[0].memory_stats() or {}
  return stats.get('bytes_limit', _ASSUMED_BYTES)


def padded(count: int, multiple: int) -> int:
  """The next multiple: the length of an axis that so many devices share evenly."""
  return -(-count // multiple) * multiple


def vmapped_trials(num_trials: int, num_folds: int, mesh: Mesh, trial_bytes: int) -> int:
  """How many of a fold's personalisations a device batches into one.

  On CPUs one, since a batch of them takes as long. On accelerators all of its share, or as many as
  memory holds beside those of the other folds that are batched with them.

  Args:
    num_trials: of every fold.
    num_folds: that the program holds.
    trial_bytes: what a trial takes, by `persona_jax.training.memory`.
  """
  if _loops():
    return 1
  return _even_share(
    -(-num_trials // mesh.shape[TRIAL]), num_folds // mesh.shape[FOLD] * trial_bytes
  )


def _even_share(count: int, each_bytes: int) -> int:
  """The largest of equal shares of `count` when a share fits into memory; at least one."""
  most = max(1, learning_bytes() // each_bytes)
  return -(-count // -(-count // most))


def trials_of_a_call(num_trials: int, vmapped: int, mesh: Mesh) -> int:
  """The length of a program's trial axis; what is more is left to further calls.

  On CPUs it is the same for any number of trials, so that one program serves all. Every device gets
  two batches, since XLA removes a loop of one iteration and then rounds differently. On
  accelerators one call holds all.

  Args:
    num_trials: of every fold.
    vmapped: how many a device batches into one.
  """
  share = 2 * vmapped if _loops() else padded(-(-num_trials // mesh.shape[TRIAL]), vmapped)
  return mesh.shape[TRIAL] * share


def times_faster() -> float:
  """How many times faster than on two CPU cores the model runs here, roughly."""
  return 1.0 if _loops() else _TIMES_FASTER


def without_jit() -> bool:
  """Whether JAX compiles nothing, as with --debug_nans."""
  # JAX adds the attribute at run time.
  return jax.config.jax_disable_jit  # pyright: ignore[reportAttributeAccessIssue]


def _loops() -> bool:
  return jax.default_backend() == 'cpu'


class Program:
  """A program of a group of folds, compiled when it is first called or, before, in a thread."""

  def __init__(self, function: Any):
    self._function = function
    self._compiled: Future | None = None

  def compile(self, *arrays: Tree, ahead: bool = False) -> None:
    """Begins to compile for arrays of these shapes, the only ones that it is called with then.

    Programs are traced one after the other, in the order of these calls.

    Args:
      arrays: or what `replicate` returns with `shapes_alone`; of the host, for one device.
      ahead: it is not needed yet. Fewer such programs are compiled at a time, which takes less
        memory.
    """
    if self._compiled is None and not without_jit():
      lowered = _TRACING.submit(self._function.lower, *jax.tree.map(_shape, arrays))
      pool = _COMPILING_AHEAD if ahead else _COMPILING
      self._compiled = pool.submit(_compiled, lowered)

  def lower(self, *arrays: Tree) -> Any:
    """As of a jitted function, for what the compiler says of it."""
    return self._function.lower(*arrays)

  def __call__(self, *arrays: Tree) -> Tree:
    if self._compiled is None:
      return self._function(*arrays)
    return self._compiled.result()(*arrays)


# Seconds to read a program from the compilation cache, at most. To compile one takes longer, and
# much memory, which is given back.
_CACHED_S = 3.0

# Two programs traced in turns would both be late: Python runs one thread at a time. The compiler
# works beside it.
_TRACING = ThreadPoolExecutor(max_workers=1, thread_name_prefix='tracing')
_CORES = os.cpu_count() or 1
_COMPILING = ThreadPoolExecutor(_CORES, thread_name_prefix='compiling')
_COMPILING_AHEAD = ThreadPoolExecutor(max(1, _CORES // 2), thread_name_prefix='compiling ahead')


def _compiled(lowered: Future) -> Any:
  traced = lowered.result()
  started = time.monotonic()
  program = traced.compile()
  if time.monotonic() - started > _CACHED_S:
    allocator.give_back_freed_memory()
  return program


def _shape(array: Any) -> jax.ShapeDtypeStruct:
  dtype = jax.dtypes.canonicalize_dtype(array.dtype)
  return jax.ShapeDtypeStruct(array.shape, dtype, sharding=getattr(array, 'sharding', None))


def over_folds(
  function: Callable[[Tree, Tree, Tree], Tree], mesh: Mesh, donate_state: bool = False
) -> Program:
  """Jits `function(state, inputs, shared)` over the leading fold axis of `state` and `inputs`.

  Args:
    function: of one fold; every leaf it returns gets the fold axis in front.
    mesh: from `fold_mesh`; or from `trial_mesh`, and the next axis of `inputs` and of the result is
      the trials'. The axes must be multiples of the mesh's.
    donate_state: the state's memory is reused for the result.
  """

  def local(state, inputs, shared):
    def one(pair):
      own_state, own_inputs = pair
      return function(own_state, own_inputs, shared)

    pairs = (state, inputs)
    return _loop(one, pairs) if _loops() else jax.vmap(one)(pairs)

  if without_jit():  # shard_map would compile every operation by itself
    return Program(local)
  laid = PartitionSpec(*mesh.axis_names)
  mapped = jax.shard_map(
    local,
    mesh=mesh,
    in_specs=(PartitionSpec(FOLD), laid, PartitionSpec()),
    out_specs=laid,
    check_vma=False,
  )
  donated = (0,) if donate_state else ()
  return Program(compiling.jit(mapped, donate_argnums=donated))


def _loop(function: Callable[[Tree], Tree], stacked: Tree) -> Tree:
  """`lax.map`; a single fold, the usual case, is spared the loop and its copies."""
  if len(jax.tree.leaves(stacked)[0]) > 1:
    return lax.map(function, stacked)
  result = function(jax.tree.map(lambda leaf: leaf[0], stacked))
  return jax.tree.map(lambda leaf: leaf[None], result)


def over_clips(function: Callable[[Tree], Tree], clips: Tree, least: int) -> Tree:
  """Returns `function(clips)`, of which every CPU device computes an equal share.

  One model leaves cores idle, since XLA computes its encoders one after the other. On accelerators
  it fills a device, and clips are not shared.

  Args:
    function: of a tree of arrays [n, ...] to another; each clip is computed by itself.
    clips: the arrays, within a jitted function.
    least: the fewest clips of a device. As many devices are used as can share n evenly.
  """
  (count,) = {len(leaf) for leaf in jax.tree.leaves(clips)}
  most = min(len(jax.local_devices()), count // least) if _loops() and not without_jit() else 1
  size = max((n for n in range(1, most + 1) if count % n == 0), default=1)
  if size == 1:
    return function(clips)
  mesh = jax.make_mesh((size,), (CLIP,), (AxisType.Auto,), devices=jax.local_devices()[:size])
  laid = PartitionSpec(CLIP)
  mapped = jax.shard_map(function, mesh=mesh, in_specs=laid, out_specs=laid, check_vma=False)
  return mapped(clips)


def is_primary_process() -> bool:
  """Whether this process writes the run's files and shows its results; one does."""
  return not jax.distributed.is_initialized() or jax.process_index() == 0


def shard(tree: Tree, mesh: Mesh, shapes_alone: bool = False) -> Tree:
  """Puts a host tree with a leading fold axis on the mesh; `shapes_alone` as of `replicate`."""
  return _put(tree, NamedSharding(mesh, PartitionSpec(FOLD)), shapes_alone)


def shard_trials(tree: Tree, mesh: Mesh, shapes_alone: bool = False) -> Tree:
  """Puts a host tree with leading axes of folds and trials on a `trial_mesh`; as `shard`."""
  return _put(tree, NamedSharding(mesh, PartitionSpec(FOLD, TRIAL)), shapes_alone)


def replicate(tree: Tree, mesh: Mesh, shapes_alone: bool = False) -> Tree:
  """Puts a host tree on every device of the mesh.

  Args:
    shapes_alone: put nothing there, and return the shapes, types and shardings that it would have;
      enough for `Program.compile`.
  """
  return _put(tree, NamedSharding(mesh, PartitionSpec()), shapes_alone)


def _put(tree: Tree, sharding: NamedSharding, shapes_alone: bool) -> Tree:
  """Each process fills its own devices from its own copy of the host arrays."""

  def put(leaf):
    leaf = np.asarray(leaf)
    return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

  def shape(leaf):
    dtype = jax.dtypes.canonicalize_dtype(leaf.dtype)
    return jax.ShapeDtypeStruct(leaf.shape, dtype, sharding=sharding)

  return jax.tree.map(shape if shapes_alone else put, tree)


def fetch(tree: Tree) -> Tree:
  """A sharded tree as host arrays, whole on every process."""
  if jax.process_count() > 1:
    tree = multihost_utils.process_allgather(tree, tiled=True)
  return jax.device_get(tree)


def stack(trees: list[Tree], size: int) -> Tree:
  """Stacks host trees on a new leading axis of length `size`, repeating the first to fill it."""
  filled = trees + [trees[0]] * (size - len(trees))
  return jax.tree.map(lambda *leaves: np.stack(leaves), *filled)


def unstack(tree: Tree, count: int) -> list[Tree]:
  """The first `count` folds of a stacked tree, as host trees."""
  host = fetch(tree)

  def fold(index: int) -> Tree:
    return jax.tree.map(lambda leaf: np.asarray(leaf[index]), host)

  return [fold(index) for index in range(count)]
