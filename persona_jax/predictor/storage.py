"""The folder of a predictor: an Orbax item, and `predictor.json` with everything else.

  <folder>/params/         the parameters; an ordinary Orbax item, which needs no persona_jax
  <folder>/predictor.json  the rest that a prediction depends on, and checksums of every file
  <folder>/README.md       the model card

Numbers of type float32 are written as decimals that name them exactly.
"""

import hashlib
import json
import pathlib
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from persona_jax import files
from persona_jax.errors import UserError
from persona_jax.model.build import build
from persona_jax.persona.arms import Priors
from persona_jax.persona.effects import Effects
from persona_jax.persona.labels import LabelPrior
from persona_jax.persona.posterior import Prior
from persona_jax.persona.residual import Reading, ResidualPrior
from persona_jax.training import damage, items
from persona_jax.types import Array, Clips, Params

FORMAT = 1
MANIFEST, CARD = 'predictor.json', 'README.md'


class Stored(NamedTuple):
  """What a folder holds.

  Attributes:
    params: of the model, in numpy arrays.
    described: the rest, as plain JSON.
    identity: of the predictor, as it was written.
  """

  params: Params
  described: dict[str, Any]
  identity: str


def write(
  folder: pathlib.Path, params: Params, described: dict[str, Any], identity: str, card: str
) -> None:
  """Writes a predictor whole, or nothing.

  Raises:
    UserError: the folder exists, or cannot be written.
  """
  if folder.exists():
    raise UserError(f'{folder}: exists; name a new folder for the predictor.')
  folder.parent.mkdir(parents=True, exist_ok=True)
  facts = dict(predictor_format=FORMAT, identity=identity, described=described)
  items.write(folder, params, facts, MANIFEST)
  files.write_text(folder / CARD, card)


def read(folder: pathlib.Path) -> Stored:
  """Reads what `write` wrote.

  Raises:
    UserError: there is no predictor, it is damaged, or a newer version wrote it.
  """
  if not (folder / MANIFEST).exists():
    raise UserError(f'{folder}: no predictor; expected a folder that Predictor.save wrote.')
  try:
    about = items.read_facts(folder, MANIFEST)
    if about.get('predictor_format') != FORMAT:
      raise UserError(
        f'{folder}: a predictor of format {about.get("predictor_format")}, this version of '
        f'persona_jax reads format {FORMAT}; use the version that wrote it.'
      )
    found = items.read(folder, _shapes(about['described']), MANIFEST)
  except damage.Damaged as error:
    raise UserError(f'a predictor is damaged ({error}); train it again.') from error
  assert found is not None
  params, about = found
  return Stored(params, about['described'], about['identity'])


def settings(folder: pathlib.Path) -> ml_collections.ConfigDict:
  """What JAX must know before it starts, in a config; errors as of `read`."""
  if not (folder / MANIFEST).exists():
    raise UserError(f'{folder}: no predictor; run launch.train first, or name its --predictor.')
  try:
    described = items.read_facts(folder, MANIFEST)['described']
  except (damage.Damaged, KeyError) as error:
    raise UserError(f'a predictor is damaged ({error}); train it again.') from error
  return ml_collections.ConfigDict(dict(model=described['model'], quick_compile=False))


def identity(params: Params, others: dict[str, Any]) -> str:
  """A hash of the parameters and of the rest, the same for the same numbers."""
  digest = hashlib.sha256(json.dumps(others, sort_keys=True).encode())
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    array = np.ascontiguousarray(leaf)
    digest.update(f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'.encode())
    digest.update(array.tobytes())
  return digest.hexdigest()[:32]


def plain(tree: Any) -> Any:
  """Nested tuples, dicts and arrays as JSON holds them; named tuples by their fields."""
  if hasattr(tree, '_asdict'):
    tree = tree._asdict()
  if isinstance(tree, dict):
    return {str(name): plain(value) for name, value in tree.items()}
  if isinstance(tree, (list, tuple)):
    return [plain(value) for value in tree]
  if isinstance(tree, (str, bool, int, type(None))):
    return tree
  array = np.asarray(tree, np.float32)
  return [plain(value) for value in array] if array.ndim else _exact(array)


def _exact(value: np.ndarray) -> float:
  """The shortest decimal that names a float32."""
  return float(str(np.float32(value)))


def as_tree(described: dict[str, Any], kind: Any) -> Any:
  """A named tuple of arrays, or of dicts of arrays, from `plain`."""
  return kind(**{name: _as_arrays(value) for name, value in described.items()})


def as_priors(described: dict[str, Any] | None) -> Priors | None:
  """`Priors` from `plain`; None if there are none."""
  if described is None:
    return None
  joint, of_residual = described['joint'], described['residual']
  return Priors(
    Prior(as_tree(joint['label'], LabelPrior), as_tree(joint['expression'], Effects)),
    ResidualPrior(
      as_tree(of_residual['reading'], Reading), as_tree(of_residual['effects'], Effects)
    ),
  )


def _as_arrays(value: Any) -> Any:
  if isinstance(value, dict):
    return {name: _as_arrays(each) for name, each in value.items()}
  return np.asarray(value, np.float32)


def _shapes(described: dict[str, Any]) -> Params:
  """Shapes and types of the parameters, from the model's settings and the features' widths."""
  model = build(ml_collections.ConfigDict(described['model']))

  def first(key):
    clips: dict[str, Array] = {m: np.zeros((1, 8, d)) for m, d in described['widths'].items()}
    masks: dict[str, Array] = {m: np.ones((1, 8), bool) for m in described['widths']}
    return model.init(key, Clips(clips, masks))['params']

  return jax.eval_shape(first, jax.random.key(0))
