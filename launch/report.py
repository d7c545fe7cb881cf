"""Makes the report again, tables and figures, from the records of one or several workdirs.

  python -m launch.report --workdir=runs/demo

Workdirs with different folds or seeds of one study are merged into the report of the first; they
must share one config and one corpus. Workdirs with the same trials, for example of two configs, are
compared with the first on the screen; they must have been scored on the same clips.
"""

import pathlib

from absl import flags

from launch import common
from persona_jax.reporting import report, run_comparison

WORKDIR = flags.DEFINE_multi_string(
  'workdir', ['runs/demo'], 'A folder that launch.study wrote; may be given several times.'
)


def main() -> None:
  workdirs = [pathlib.Path(workdir) for workdir in WORKDIR.value]
  if run_comparison.share_trials(workdirs):
    common.show(run_comparison.compare(workdirs))
  else:
    common.show(report.write(workdirs, workdirs[0]))


if __name__ == '__main__':
  common.run(main)
