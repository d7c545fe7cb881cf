"""Trains one predictor on all speakers, for people who are not among them.

  python -m launch.train --config=configs/synthetic.py --predictor=runs/predictor

The folder then holds everything that a prediction depends on, and its model card as README.md.
Python code loads it with persona_jax.load. A run that was stopped goes on when it is started again.
"""

import pathlib

from absl import flags

from launch import common
from persona_jax.errors import UserError
from persona_jax.predictor import card, training
from persona_jax.runtime import preemption

CONFIG = common.define_config()
PREDICTOR = common.define_predictor()
STUDY = flags.DEFINE_string(
  'study',
  None,
  'The workdir of a grouped study of the same config, whose scores of held-out speakers become '
  'part of the model card.',
)


FOLD = flags.DEFINE_string(
  'fold',
  None,
  'A fold of --study, such as fold_00_seed_0: nothing is trained; its pre-trained model becomes '
  'a predictor for the speakers whom it has not seen.',
)


def main() -> None:
  common.start_jax(CONFIG.value, 1)
  folder, study = pathlib.Path(PREDICTOR.value), STUDY.value and pathlib.Path(STUDY.value)
  if FOLD.value is None:
    predictor = training.train(CONFIG.value, folder, study)
  elif study:
    predictor = training.of_fold(CONFIG.value, study, FOLD.value)
    predictor.save(folder)
  else:
    raise UserError('--fold: name the workdir of its study with --study.')
  common.show(card.text(predictor.facts))


if __name__ == '__main__':
  common.run(main, preemption.GRACE)
