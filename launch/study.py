"""Runs the leave-one-speaker-out study: pre-train, personalise, score, report.

  python -m launch.study --config=configs/synthetic.py --workdir=runs/demo

Rerun the same command to resume after an interruption.
"""

import pathlib

from launch import common
from persona_jax.runtime import preemption
from persona_jax.study import leave_one_speaker_out

CONFIG, WORKDIR = common.define_config(), common.define_workdir()
DISTRIBUTED, TENSORBOARD = common.define_distributed(), common.define_tensorboard()


def main() -> None:
  common.start_jax(CONFIG.value, common.num_folds(CONFIG.value), DISTRIBUTED.value)
  common.show(
    leave_one_speaker_out.run(CONFIG.value, pathlib.Path(WORKDIR.value), TENSORBOARD.value)
  )


if __name__ == '__main__':
  common.run(main, preemption.GRACE)
