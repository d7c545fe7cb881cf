"""Pre-trains the predictors of the study's folds, and nothing more.

  python -m launch.pretrain --config=configs/synthetic.py --workdir=runs/demo

launch.study, launch.adapt and launch.predict go on from there with the same config and workdir.
"""

import pathlib

from launch import common
from persona_jax import preemption
from persona_jax.evaluation import study
from persona_jax.reporting import summaries

CONFIG, WORKDIR = common.define_config(), common.define_workdir()
DISTRIBUTED, TENSORBOARD = common.define_distributed(), common.define_tensorboard()


def main() -> None:
  common.start_jax(CONFIG.value, common.num_folds(CONFIG.value), DISTRIBUTED.value)
  folds, trained = study.pretrain_only(CONFIG.value, pathlib.Path(WORKDIR.value), TENSORBOARD.value)
  common.show(summaries.pretraining(folds, trained))


if __name__ == '__main__':
  common.run(main, preemption.GRACE)
