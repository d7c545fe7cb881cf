"""A predictor for machines without this package: programs that JAX runs, and plain weights.

  predict.bin          predicts any number of clips, with a person as an input
  read.bin             of the arm bayes: what a person is learned from, of any number of clips
  *.npz                people, as `predict.bin` takes them; nobody.npz, of the arm bayes, is nobody
  weights.safetensors  the parameters before any personalisation, by their names in the model
  README.md            ten lines that run it

The programs hold the weights, and take sequences of a fixed number of steps.
"""

import functools
import pathlib
import shutil
from collections.abc import Mapping

import numpy as np
from safetensors.numpy import save

from persona_jax import files
from persona_jax.arms import NAMES
from persona_jax.errors import UserError
from persona_jax.predictor import export_readme, exported, fine_tuned
from persona_jax.predictor.exported import array, serialized
from persona_jax.predictor.fine_tuned import FineTuned
from persona_jax.predictor.person import Person
from persona_jax.predictor.predictor import Predictor

NOBODY = 'nobody'
Arrays = Mapping[str, np.ndarray]


def export(predictor: Predictor, folder: pathlib.Path, people: Mapping[str, Person]) -> None:
  """Writes the folder, with people of the arm `bayes`.

  Args:
    predictor: what to export.
    folder: must not exist.
    people: {name of the file: person}.

  Raises:
    UserError: the folder exists, flatbuffers is not installed, the predictor does not know how
      people differ, or a person is called nobody.
  """
  expect_new(folder)
  if NOBODY in people:
    raise UserError(f'{NOBODY}: the name of the file of nobody in particular; rename the person.')
  programs = exported.Programs(predictor)
  count, clips = exported.symbolic_clips(predictor)
  width = predictor.nobody().components.shape[1]
  person = {
    name: array(count, *((width,) if name == 'components' else ())) for name in exported.ROWS
  }
  binaries = {
    'predict': serialized(programs.predict, *clips, person),
    'read': serialized(programs.read, *clips),
  }
  known = {name: rows(person) for name, person in {NOBODY: predictor.nobody(), **people}.items()}
  _write(predictor, folder, binaries, known, export_readme.bayes(predictor))


def export_fine_tuned(
  predictor: Predictor, folder: pathlib.Path, arm: str, people: Mapping[str, FineTuned]
) -> None:
  """Writes the folder, with people of an arm that fine-tunes.

  Args:
    predictor: what to export.
    folder: must not exist.
    arm: by which the people are known.
    people: {name of the file: person}, one at least.

  Raises:
    UserError: the folder exists, flatbuffers is not installed, there is nobody to export, or the
      person is of another predictor or arm.
  """
  expect_new(folder)
  if not people:
    raise UserError(f'{NAMES[arm]} has no predictor for people whom it does not know; name --user.')
  for name, person in people.items():
    if person.arm != arm:
      raise UserError(f'{name}: was fine-tuned by {person.arm}, not by {arm}; name that --arm.')
    predictor.params_of(person)
  known = {name: fine_tuned.flat(person.changed) for name, person in people.items()}
  first = next(iter(known))
  predict = functools.partial(exported.Programs(predictor).predict_fine_tuned, arm)
  _, clips = exported.symbolic_clips(predictor)
  person = {name: array(*tensor.shape) for name, tensor in known[first].items()}
  binaries = {'predict': serialized(predict, *clips, person)}
  _write(predictor, folder, binaries, known, export_readme.fine_tuned(predictor, arm, first))


def expect_new(folder: pathlib.Path) -> None:
  """Raises `UserError` if the folder exists."""
  if folder.exists():
    raise UserError(f'{folder}: exists; name a new folder.')


def rows(person: Person) -> dict[str, np.ndarray]:
  """A person as `predict.bin` takes it; nobody has one row that does not count."""
  names = [name for name in exported.ROWS if name != 'weights']
  found = {name: np.asarray(getattr(person, name), np.float32) for name in names}
  if not person.num_clips:
    found = {name: np.zeros((1, *value.shape[1:]), np.float32) for name, value in found.items()}
  return found | {'weights': np.full(len(found['labels']), float(person.num_clips > 0), np.float32)}


def _write(
  predictor: Predictor,
  folder: pathlib.Path,
  programs: Mapping[str, bytes],
  people: Mapping[str, Arrays],
  readme: str,
) -> None:
  """Writes the folder whole, or nothing."""
  temporary = folder.with_name(f'.{folder.name}.tmp')
  shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
  temporary.mkdir(parents=True)
  try:
    for name, program in programs.items():
      (temporary / f'{name}.bin').write_bytes(program)
    for name, person in people.items():
      np.savez(temporary / f'{name}.npz', allow_pickle=False, **person)
    weights = fine_tuned.flat(predictor.params)
    (temporary / 'weights.safetensors').write_bytes(save(weights))
    files.write_text(temporary / 'README.md', readme)
    temporary.rename(folder)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
