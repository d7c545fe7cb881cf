"""Makes the tables again from the records of one or several workdirs.

  python -m launch.report --workdir=runs/demo

Several workdirs, each with other folds of one study, are merged into the first one's report.
"""

import pathlib

from absl import flags

from launch import common
from persona_jax.evaluation import study

WORKDIR = flags.DEFINE_multi_string(
    'workdir', ['runs/demo'], 'A folder that launch.study wrote; may be given several times.')


def main() -> None:
  workdirs = [pathlib.Path(workdir) for workdir in WORKDIR.value]
  common.show(study.write_report(workdirs, workdirs[0]))


if __name__ == '__main__':
  common.run(main)
