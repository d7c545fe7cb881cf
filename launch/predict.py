"""Predicts the sentiment of one user's clips, with the pre-trained or a personalised predictor.

  python -m launch.predict --config=configs/synthetic.py --workdir=runs/demo --user=speaker03

Writes CSV: clip, label, prediction, and whether the predictor had learned from the clip.
"""

import pathlib

from absl import flags

from launch import common
from persona_jax import arms, files
from persona_jax.reporting import summaries
from persona_jax.study.user_session import UserSession

CONFIG, WORKDIR = common.define_config(), common.define_workdir()
USER = flags.DEFINE_string(
  'user', None, 'The held-out speaker whose clips to predict.', required=True
)
ARM = flags.DEFINE_enum(
  'arm',
  'baseline',
  ['baseline', *arms.FINE_TUNED],
  'Which predictor: pre-trained, or personalised with launch.adapt.',
)
OUTPUT = flags.DEFINE_string('output', None, 'The file to write; by default, the screen.')


def main() -> None:
  common.start_jax(CONFIG.value, 1)
  session = UserSession.open(CONFIG.value, pathlib.Path(WORKDIR.value), USER.value)
  adapted = None if ARM.value == arms.BASELINE else session.load(ARM.value)
  text = summaries.prediction_csv(session.predict(adapted))
  if OUTPUT.value:
    files.write_text(pathlib.Path(OUTPUT.value), text)
  else:
    print(text, end='')


if __name__ == '__main__':
  common.run(main)
