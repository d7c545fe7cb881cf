"""The programs of an export: functions of any number of clips, which JAX alone runs.

They hold the parameters, and run on CPUs and CUDA (`jax.export`,
https://docs.jax.dev/en/latest/export/export.html).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util
from jax import export as jax_export

from persona_jax.data import normalize
from persona_jax.errors import UserError
from persona_jax.model.build import build, call
from persona_jax.model.heads import READ
from persona_jax.persona import arms, posterior, residual
from persona_jax.predictor.fine_tuned import FineTuned
from persona_jax.predictor.predictor import Predictor
from persona_jax.training.fine_tune import FineTuner, recipes
from persona_jax.types import Array, Clips

PLATFORMS = ('cpu', 'cuda')
ROWS = ('predictions', 'components', 'labels', 'weights', 'chosen')  # a person of the arm bayes

Arrays = dict[str, Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Programs:
  """The functions of a predictor that are exported.

  Sequences are {modality: [b, T_m, D_m]}, and masks {modality: [b, T_m]}.
  """

  predictor: Predictor

  def read(self, sequences: Arrays, masks: Arrays) -> tuple[jax.Array, jax.Array]:
    """Predictions [b], and components [b, num_components] of what the head reads."""
    model, params = build(self.predictor.config.model), self.predictor.params

    def one(clip: Clips) -> tuple[jax.Array, jax.Array]:
      predictions, state = model.apply({'params': params}, clip, mutable=READ)
      (steps,) = state[READ]['base']['heads']['steps']
      return jnp.asarray(predictions)[0], jnp.asarray(steps)[0, 0]

    predictions, read = self._of_each(one, sequences, masks)
    return predictions, residual.components(self.predictor.fitted_priors.residual.reading, read)

  def predict(self, sequences: Arrays, masks: Arrays, person: Arrays) -> tuple[Array, Array, Array]:
    """Mean, low and high [b], for a person whose labelled clips are {name of `ROWS`: [k, ...]}."""
    priors = self.predictor.fitted_priors
    predictions, components = self.read(sequences, masks)
    seen = arms.observe_components(*(person[name] for name in ROWS))
    phi = residual.joined(predictions, components)
    sentiment = posterior.summarised(arms.bayes(priors, arms.known(priors, seen), phi))
    return sentiment.mean, sentiment.lower, sentiment.upper

  def predict_fine_tuned(
    self, arm: str, sequences: Arrays, masks: Arrays, person: Arrays
  ) -> jax.Array:
    """Mean [b], for a person of an arm, who has the parameters of `FineTuned.changed` by name."""
    tree = traverse_util.unflatten_dict(person, sep='/')
    params = self.predictor.params_of(FineTuned(self.predictor.identity, arm, 0, tree))
    model = FineTuner(self.predictor.config, recipes(self.predictor.config.adapt)[arm]).model
    return self._of_each(lambda clip: call(model, params, clip)[0], sequences, masks)

  def _of_each(self, one: Callable[[Clips], Any], sequences: Arrays, masks: Arrays) -> Any:
    """`one` of each clip, standardised and with a leading axis of length 1.

    One clip at a time under vmap: the model asks for its sizes, which a symbolic batch has not.
    """
    normaliser = self.predictor.normaliser
    standardised = {m: normalize.apply(normaliser, m, x) for m, x in sequences.items()}
    clips = jax.tree.map(lambda x: x[:, None], Clips(standardised, masks))
    return jax.vmap(one)(clips)


def symbolic_clips(predictor: Predictor) -> tuple[Any, tuple[Any, Any]]:
  """The shapes of arguments: a symbolic number of rows, and the sequences and masks of clips."""
  batch, count = jax_export.symbolic_shape('b, k')
  steps, widths = predictor.steps, predictor.widths
  sequences = {m: array(batch, steps[m], width) for m, width in widths.items()}
  return count, (sequences, {m: array(batch, steps[m], dtype=jnp.bool_) for m in widths})


def array(*shape: Any, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
  """The shape of an argument."""
  return jax.ShapeDtypeStruct(shape, dtype)


def serialized(function: Callable[..., Any], *arguments: Any) -> bytes:
  """A function compiled for any machine, for arguments of these shapes.

  Raises:
    UserError: flatbuffers is not installed.
  """
  try:
    return bytes(jax_export.export(jax.jit(function), platforms=PLATFORMS)(*arguments).serialize())
  except ImportError as error:
    raise UserError("exporting needs flatbuffers: pip install -e '.[export]'.") from error
