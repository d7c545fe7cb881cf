"""Adapts a predictor to a person, from a few labelled clips; no study and no corpus is needed.

  python -m launch.adapt --predictor=runs/predictor --clips=alice.csv --user=alice

The file of the person is then in the folder --users. More clips continue where the person was.
launch/README.md describes the CSV; --config names a corpus to take the clips from instead.
"""

import pathlib

import numpy as np
from absl import flags

from launch import common
from persona_jax.data.own_clips import OwnClips
from persona_jax.errors import UserError
from persona_jax.predictor import adaptation, people, predictor, storage

PREDICTOR, CONFIG = common.define_predictor(), common.define_config(default=None)
CLIPS, ONLY = common.define_clips()
USER = flags.DEFINE_string(
  'user', None, 'The person; by default, everybody in the column user of the CSV.'
)
USERS = common.define_users()
ARM = common.define_arm()
SUPPORT = flags.DEFINE_enum(
  'support',
  'random',
  ['random', 'chosen'],
  'How the clips were picked: chosen means because of their label, as people do who look for '
  'typical clips. Then bayes learns nothing from how many of them are positive.',
)
FORGET = flags.DEFINE_multi_string(
  'forget', [], 'A clip of --user to take out again, by its name; may be repeated.'
)
SUGGEST = flags.DEFINE_integer(
  'suggest', 0, 'Name so many of the clips without a label that would be worth one.', lower_bound=0
)


def main() -> None:
  folder = pathlib.Path(PREDICTOR.value)
  common.start_jax(storage.settings(folder), 1)
  model = predictor.load(folder)
  known = people.People(USERS.value, ARM.value)
  if FORGET.value:
    common.show(adaptation.forget(model, known, _needed_user(), FORGET.value))
    if CLIPS.value is None and CONFIG.value is None:
      return
  given = adaptation.read(model, common.clips_source(CLIPS, CONFIG), USER.value, ONLY.value)
  labelled = adaptation.subset(given, ~np.isnan(given.labels))
  common.show(_adapted(model, known, labelled) if labelled.names else 'No clip has a label.')
  common.show(adaptation.left_out(given))
  if SUGGEST.value:
    unlabelled = adaptation.subset(given, np.isnan(given.labels))
    common.show(adaptation.suggest(model, known, unlabelled, SUGGEST.value))


def _adapted(model: predictor.Predictor, known: people.People, clips: OwnClips) -> str:
  if ARM.value == people.BAYES:
    return adaptation.adapt(model, known, clips, SUPPORT.value == 'chosen')
  return adaptation.fine_tune(model, known, clips, ARM.value)


def _needed_user() -> str:
  if not USER.value or ARM.value != people.BAYES:
    raise UserError('--forget: name the person with --user, of the arm bayes.')
  return USER.value


if __name__ == '__main__':
  common.run(main)
