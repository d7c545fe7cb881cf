"""How much memory a copy of the model takes while it learns, estimated from shapes.

The constants lie somewhat above what `compiled.memory_analysis()` found for MulT and early fusion
with 1 to 20 clips, 1 to 10 layers and 1 to 500 steps per modality. Those were XLA's
programs for CPUs, without attention's scores, which have a budget of their own
(`persona_jax.model.softmax_attention`).
"""

import jax

from persona_jax.model import predict
from persona_jax.types import Clips, Config, Params

_COPIES = 6  # of the parameters: gradients, Adam's two moments, and what a step reads and writes
_GATHERED = 2  # copies of a clip's features: raw and standardised
# A clip's activations per step of its sequences, in model widths: fixed, and per layer.
_LEARNING, _LEARNING_A_LAYER = 120, 10
_PREDICTING = 8  # the same where no gradient is taken


def copy_bytes(params: Params, clips: Clips, num_clips: int, config: Config) -> int:
  """An estimate for one copy: a fold that is pre-trained, or a trial that is personalised.

  Args:
    params: of one copy, or their shapes.
    clips: the corpus, or its shapes.
    num_clips: that a gradient step learns from.
    config: `config.model`.
  """
  frames = sum(x.shape[1] * x.shape[2] for x in clips.sequences.values())
  widths = config.width * sum(x.shape[1] for x in clips.sequences.values())
  learning = num_clips * (
    _GATHERED * frames + (_LEARNING + _LEARNING_A_LAYER * config.num_layers) * widths
  )
  predicting = predict.CHUNK * (_GATHERED * frames + _PREDICTING * widths)
  num_parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
  return 4 * (_COPIES * num_parameters + max(learning, predicting))
