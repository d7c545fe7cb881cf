"""Exports a predictor for machines that have JAX but not this package.

  python -m launch.export --predictor=runs/predictor --output=runs/exported --user=alice

The folder's README.md has ten lines that run it.
"""

import pathlib

from absl import flags

from launch import common
from persona_jax.predictor import export, people, predictor, storage

PREDICTOR, USERS = common.define_predictor(), common.define_users()
OUTPUT = flags.DEFINE_string('output', 'runs/exported', 'The folder to write; it must not exist.')
USER = flags.DEFINE_multi_string('user', [], 'A person to export too; may be repeated.')


def main() -> None:
  folder = pathlib.Path(PREDICTOR.value)
  common.start_jax(storage.settings(folder), 1)
  model, known = predictor.load(folder), people.People(USERS.value)
  paths = {user: known.path(user) for user in USER.value}
  persons = {path.name.split('.')[0]: model.person(path) for path in paths.values()}
  export.export(model, pathlib.Path(OUTPUT.value), persons)


if __name__ == '__main__':
  common.run(main)
