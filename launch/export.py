"""Exports a predictor for machines that have JAX but not this package.

  python -m launch.export --predictor=runs/predictor --output=runs/exported --user=alice

People who were adapted to with another --arm than bayes are exported with the same --arm.

The folder's README.md has ten lines that run it.
"""

import pathlib

from absl import flags

from launch import common
from persona_jax.predictor import export, people, predictor, storage

PREDICTOR, USERS, ARM = common.define_predictor(), common.define_users(), common.define_arm()
OUTPUT = flags.DEFINE_string('output', 'runs/exported', 'The folder to write; it must not exist.')
USER = flags.DEFINE_multi_string('user', [], 'A person to export too; may be repeated.')


def main() -> None:
  folder, output = pathlib.Path(PREDICTOR.value), pathlib.Path(OUTPUT.value)
  common.start_jax(storage.settings(folder), 1)
  model, known = predictor.load(folder), people.People(USERS.value, ARM.value)
  paths = {people.file_name(user): known.path(user) for user in USER.value}
  if ARM.value == people.BAYES:
    export.export(model, output, {name: model.person(path) for name, path in paths.items()})
  else:
    persons = {name: model.fine_tuned_person(path) for name, path in paths.items()}
    export.export_fine_tuned(model, output, ARM.value, persons)


if __name__ == '__main__':
  common.run(main)
