"""Predicts the sentiment of clips, each for the person who speaks in it.

  python -m launch.predict --predictor=runs/predictor --clips=new.csv --users=runs/users

Writes CSV: clip, user, prediction, low and high (the central 90 % interval), and known: 1 where the
predictor had adapted to the person with launch.adapt, 0 where it answered as for anybody.
"""

import pathlib

from absl import flags

from launch import common
from persona_jax.predictor import adaptation, people, predictor, storage

PREDICTOR, CONFIG = common.define_predictor(), common.define_config(default=None)
CLIPS, ONLY = common.define_clips()
USER = flags.DEFINE_string('user', None, 'The person, where the CSV has no column user.')
USERS = common.define_users()
ARM = common.define_arm()
OUTPUT = flags.DEFINE_string(
  'output',
  None,
  'The file to write, as Parquet where its name ends in .parquet; by default, CSV on the screen.',
)


def main() -> None:
  folder = pathlib.Path(PREDICTOR.value)
  common.start_jax(storage.settings(folder), common.num_cores())
  model = predictor.load(folder)
  given = adaptation.read(model, common.clips_source(CLIPS, CONFIG), USER.value, ONLY.value)
  table = adaptation.predictions(model, people.People(USERS.value, ARM.value), given)
  if OUTPUT.value:
    adaptation.write_table(pathlib.Path(OUTPUT.value), table)
    common.show(adaptation.left_out(given))
  else:
    print(adaptation.as_csv(table), end='')
    common.complain(adaptation.left_out(given))


if __name__ == '__main__':
  common.run(main)
