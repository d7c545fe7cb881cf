"""Personalises the predictor to one held-out user, from a few of that user's labelled clips.

  python -m launch.adapt --config=configs/synthetic.py --workdir=runs/demo --user=speaker03

The workdir must hold the user's pre-trained predictor (launch.pretrain or launch.study). The next
launch.report there draws what a clip of this user's audio and vision attended to, before and after.
"""

import pathlib

from absl import flags

from launch import common
from persona_jax import arms
from persona_jax.reporting import summaries
from persona_jax.study import attention, workdir
from persona_jax.study.user_session import UserSession

CONFIG, WORKDIR = common.define_config(), common.define_workdir()
USER = flags.DEFINE_string('user', None, 'The held-out speaker to personalise to.', required=True)
ARM = flags.DEFINE_enum(
  'arm',
  'fs_ua_kd',
  arms.FINE_TUNED,
  'How: an arm of the study that fine-tunes; fs_ua is few-shot alone, fs_ua_kd '
  'with distillation from the pre-trained predictor.',
)
SUPPORT = flags.DEFINE_list(
  'support',
  None,
  "The user's clips to learn from, as video[3],video[7]; "
  'by default, those of a random draw of the study.',
)
DRAW = flags.DEFINE_integer('draw', 0, 'Which draw of the study to take the clips from.')


def main() -> None:
  common.start_jax(CONFIG.value, 1)
  session = UserSession.open(CONFIG.value, pathlib.Path(WORKDIR.value), USER.value)
  adapted = session.adapt(SUPPORT.value or session.support_of_draw(DRAW.value), ARM.value)
  with workdir.lock(session.study.workdir):
    session.save(adapted)
    if attention.has_attention(session):
      attention.write(session, adapted)
  common.show(summaries.before_and_after(USER.value, session.predict(), session.predict(adapted)))


if __name__ == '__main__':
  common.run(main)
