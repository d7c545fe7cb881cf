"""How much memory a copy of the model takes while it learns, estimated from shapes.

The constants lie somewhat above what `compiled.memory_analysis()` found for MulT and early fusion
with 1 to 20 clips, 1 to 10 layers and 1 to 500 steps per modality. Those were XLA's
programs for CPUs, without attention's scores, which have a budget of their own
(`persona_jax.model.softmax_attention`).
"""

from collections.abc import Mapping

import jax

from persona_jax.model import predict
from persona_jax.types import Config, Params

_COPIES = 6  # of the parameters: gradients, Adam's two moments, and what a step reads and writes
_GATHERED = 2  # copies of a clip's features: raw and standardised
# A clip's activations per step of its sequences, in model widths: fixed, and per layer.
_LEARNING, _LEARNING_A_LAYER = 120, 10
_PREDICTING = 8  # the same where no gradient is taken


def copy_bytes(
  params: Params,
  steps: Mapping[str, int],
  widths: Mapping[str, int],
  num_clips: int,
  config: Config,
) -> int:
  """An estimate for one copy: a fold that is pre-trained, or a trial that is personalised.

  Args:
    params: of one copy, or their shapes.
    steps, widths: {modality: T_m} and {modality: D_m} of the longest clips.
    num_clips: that a gradient step learns from.
    config: `config.model`.
  """
  features = sum(steps[m] * widths[m] for m in steps)
  activations = config.width * sum(steps.values())
  learning = num_clips * (
    _GATHERED * features + (_LEARNING + _LEARNING_A_LAYER * config.num_layers) * activations
  )
  predicting = predict.CHUNK * (_GATHERED * features + _PREDICTING * activations)
  num_parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
  return 4 * (_COPIES * num_parameters + max(learning, predicting))
