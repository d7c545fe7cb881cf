"""The states of folds before their first step."""

import jax

from persona_jax.data.folds import Fold
from persona_jax.data.study import Study
from persona_jax.model.build import build
from persona_jax.runtime import compiling
from persona_jax.training.group_feed import fold_inputs, shared_corpus
from persona_jax.training.state import TrainState
from persona_jax.training.steps import FoldInputs, Pretraining, Shared


class FirstStates:
  """Makes a fold's first state; the program is traced once for all of them and their shapes."""

  def __init__(self, study: Study):
    self._study = study
    steps = Pretraining(build(study.config.model), study.config, study.folds.buckets.steps)
    self._create = compiling.jit(steps.create_state)

  def shapes(self) -> TrainState:
    """Shapes and types, by which a checkpoint is read; the same for all folds."""
    return self._create.eval_shape(*self._inputs(self._study.folds.all[0]))

  def of(self, fold: Fold) -> TrainState:
    """The state of a fold, on the host."""
    return jax.device_get(self._create(*self._inputs(fold)))

  def _inputs(self, fold: Fold) -> tuple[FoldInputs, Shared]:
    """Of the corpus only the widths of its features count, so no clip is brought to a device."""
    return fold_inputs(self._study, fold), shared_corpus(self._study.corpus)
