"""Losses for TensorBoard during a run; needs the extra `tensorboard`."""

import contextlib
import pathlib
from collections.abc import Iterator

from persona_jax.data.folds import Fold
from persona_jax.errors import UserError
from persona_jax.runtime import parallel
from persona_jax.training.pretrain import EpochLog


@contextlib.contextmanager
def epoch_log(workdir: pathlib.Path, wanted: bool) -> Iterator[EpochLog | None]:
  """A log that writes each fold's losses under `tensorboard/<fold>`; None if not wanted.

  Raises:
    UserError: tensorboardX is not installed.
  """
  if not wanted or not parallel.is_primary_process():
    yield None
    return
  try:
    import tensorboardX
  except ImportError as error:
    raise UserError("--tensorboard needs tensorboardX: pip install -e '.[tensorboard]'.") from error
  with contextlib.ExitStack() as stack:
    writers = {}

    def log(fold: Fold, epoch: int, train: float, valid: float) -> None:
      if fold.name not in writers:
        writers[fold.name] = stack.enter_context(
          tensorboardX.SummaryWriter(str(workdir / 'tensorboard' / fold.name))
        )
      writers[fold.name].add_scalar('pretrain/training_loss', train, epoch)
      writers[fold.name].add_scalar('pretrain/validation_loss', valid, epoch)
      writers[fold.name].flush()

    yield log
