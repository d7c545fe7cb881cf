"""A predictor for machines without this package: programs that JAX runs, and plain weights.

  predict.bin          mean, low and high of any number of clips, for a person or for nobody
  read.bin             what a person is learned from: predictions and components of clips
  nobody.npz, *.npz    people, as `predict.bin` takes them
  weights.safetensors  the parameters, by their names in the model
  README.md            ten lines that run it

The programs hold the weights, take sequences of a fixed number of steps, and run on CPUs and CUDA
(`jax.export`, https://docs.jax.dev/en/latest/export/export.html).
"""

import functools
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax import export as jax_export
from safetensors.numpy import save

from persona_jax import files
from persona_jax.data import normalize
from persona_jax.errors import UserError
from persona_jax.model.build import PersonalPredictor, build
from persona_jax.model.heads import READ
from persona_jax.persona import arms, posterior, residual
from persona_jax.persona.arms import Priors
from persona_jax.predictor.person import Person
from persona_jax.predictor.predictor import Predictor
from persona_jax.types import Array, Clips, Normaliser, Params

PLATFORMS = ('cpu', 'cuda')


def export(predictor: Predictor, folder: pathlib.Path, people: Mapping[str, Person]) -> None:
  """Writes the folder.

  Args:
    predictor: what to export.
    folder: must not exist.
    people: {name of the file: person}.

  Raises:
    UserError: the folder exists, flatbuffers is not installed, or the predictor does not know the
      steps of its features.
  """
  if folder.exists():
    raise UserError(f'{folder}: exists; name a new folder.')
  steps = predictor.facts.get('steps')
  if not steps:
    raise UserError('the predictor does not say how long its sequences are; train it again.')
  temporary = folder.with_name(f'.{folder.name}.tmp')
  shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
  temporary.mkdir(parents=True)
  try:
    for name, program in _programs(predictor, steps).items():
      (temporary / f'{name}.bin').write_bytes(_serialized(program))
    for name, person in {'nobody': predictor.nobody(), **people}.items():
      np.savez(temporary / f'{name}.npz', allow_pickle=False, **rows(person))
    flat: dict[str, Any] = dict(traverse_util.flatten_dict(predictor.params, sep='/'))
    weights = {name: np.asarray(leaf) for name, leaf in flat.items()}
    (temporary / 'weights.safetensors').write_bytes(save(weights))
    files.write_text(temporary / 'README.md', _readme(predictor.widths, steps))
    temporary.rename(folder)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def rows(person: Person) -> dict[str, np.ndarray]:
  """A person as `predict.bin` takes it; nobody has one row that does not count."""
  names = ('predictions', 'components', 'labels', 'chosen')
  found = {name: np.asarray(getattr(person, name), np.float32) for name in names}
  if not person.num_clips:
    found = {name: np.zeros((1, *value.shape[1:]), np.float32) for name, value in found.items()}
  return found | {'weights': np.full(len(found['labels']), float(person.num_clips > 0), np.float32)}


def _programs(predictor: Predictor, steps: Mapping[str, int]) -> dict[str, jax_export.Exported]:
  batch, count = jax_export.symbolic_shape('b, k')
  clips = (
    {m: _array(batch, steps[m], width) for m, width in predictor.widths.items()},
    {m: _array(batch, steps[m], dtype=jnp.bool_) for m in predictor.widths},
  )
  width = predictor.fitted_priors.residual.reading.directions.shape[1]
  person = {
    name: _array(count, *more)
    for name, more in dict(
      predictions=(), components=(width,), labels=(), chosen=(), weights=()
    ).items()
  }
  model = build(predictor.config.model)
  known = predictor.params, predictor.normaliser, predictor.fitted_priors
  predict = jax.jit(functools.partial(_predict, model, *known))
  read = jax.jit(functools.partial(_components, model, *known))
  return {
    'predict': jax_export.export(predict, platforms=PLATFORMS)(*clips, person),
    'read': jax_export.export(read, platforms=PLATFORMS)(*clips),
  }


def _array(*shape: Any, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(shape, dtype)


def _serialized(program: jax_export.Exported) -> bytes:
  try:
    return bytes(program.serialize())
  except ImportError as error:
    raise UserError("exporting needs flatbuffers: pip install -e '.[export]'.") from error


def _predict(
  model: PersonalPredictor,
  params: Params,
  normaliser: Normaliser,
  priors: Priors,
  sequences: dict[str, Array],
  masks: dict[str, Array],
  person: dict[str, Array],
) -> tuple[Array, Array, Array]:
  """Mean, low and high [b] of clips, for the person that the rows [k] describe."""
  predictions, components = _components(model, params, normaliser, priors, sequences, masks)
  seen = arms.observe_components(
    *(person[name] for name in ('predictions', 'components', 'labels', 'weights', 'chosen'))
  )
  phi = residual.joined(predictions, components)
  sentiment = posterior.summarised(arms.bayes(priors, arms.known(priors, seen), phi))
  return sentiment.mean, sentiment.lower, sentiment.upper


def _components(
  model: PersonalPredictor,
  params: Params,
  normaliser: Normaliser,
  priors: Priors,
  sequences: dict[str, Array],
  masks: dict[str, Array],
) -> tuple[jax.Array, jax.Array]:
  """Predictions [b], and components [b, num_components] of what the head reads."""

  # One clip at a time under vmap: the model asks for its sizes, which a symbolic batch has not.
  def one(clip: Clips) -> tuple[jax.Array, jax.Array]:
    predictions, state = model.apply({'params': params}, clip, mutable=READ)
    predictions = jnp.asarray(predictions)
    (steps,) = state[READ]['base']['heads']['steps']
    return predictions[0], jnp.asarray(steps)[0, 0]

  standardised = {m: normalize.apply(normaliser, m, x) for m, x in sequences.items()}
  clips = jax.tree.map(lambda x: x[:, None], Clips(standardised, masks))
  predictions, read = jax.vmap(one)(clips)
  return predictions, residual.components(priors.residual.reading, read)


def _readme(widths: Mapping[str, int], steps: Mapping[str, int]) -> str:
  shapes = '\n'.join(f'| `{m}` | {steps[m]} | {width} |' for m, width in widths.items())
  return f"""# An exported predictor

It runs with `pip install jax numpy flatbuffers` alone, on CPUs and CUDA:

```python
import jax, numpy as np
from jax import export

predict = export.deserialize(open('predict.bin', 'rb').read())
steps, widths = {dict(steps)}, {dict(widths)}
clips = {{m: np.zeros((3, steps[m], widths[m]), np.float32) for m in steps}}  # features of 3 clips
masks = {{m: np.ones((3, steps[m]), bool) for m in steps}}  # True where a frame exists
person = dict(np.load('nobody.npz'))
mean, low, high = jax.jit(predict.call)(clips, masks, person)
print(np.asarray(mean))
```

Sequences are as in the files that the predictor was trained on, padded or cut to these steps:

| modality | steps | width |
| --- | --- | --- |
{shapes}

`mean` is the sentiment from -3 to 3, `low` and `high` its central 90 % interval. `nobody.npz` gives
what the predictor says of anybody; the other `.npz` files are people. A row of a person is a
labelled clip: `read.bin` gives its `predictions` and `components`, to which come the label,
`chosen` (1 if the clip was picked because of its label) and a weight of 1.

`weights.safetensors` has the parameters of the model by their names, such as
`adapter/language_projection/kernel`.
"""
