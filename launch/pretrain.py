"""Pre-trains the predictors of the study's folds, and nothing more.

  python -m launch.pretrain --config=configs/synthetic.py --workdir=runs/demo

launch.study, launch.adapt and launch.predict use them, given the same config and workdir.
"""

import pathlib

from launch import common
from persona_jax.reporting import summaries
from persona_jax.runtime import preemption
from persona_jax.study import leave_one_speaker_out

CONFIG, WORKDIR = common.define_config(), common.define_workdir()
DISTRIBUTED, TENSORBOARD = common.define_distributed(), common.define_tensorboard()


def main() -> None:
  common.start_jax(CONFIG.value, common.num_folds(CONFIG.value), DISTRIBUTED.value)
  study, teachers = leave_one_speaker_out.pretrain_only(
    CONFIG.value, pathlib.Path(WORKDIR.value), TENSORBOARD.value
  )
  common.show(
    summaries.pretraining(
      study.folds.of_teachers,
      [teacher.best_epoch for teacher in teachers],
      [teacher.best_loss for teacher in teachers],
    )
  )


if __name__ == '__main__':
  common.run(main, preemption.GRACE)
