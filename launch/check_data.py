"""Says what is in the feature files: what was kept, what was not and why, and who the users are.

python -m launch.check_data --config=configs/mosi.py --config.data.root=DIR
"""

import pathlib

from absl import flags

from launch import common
from persona_jax import config as config_lib
from persona_jax.data import loading, own_clips
from persona_jax.reporting import summaries

CONFIG = common.define_config()
CLIPS = flags.DEFINE_string(
  'clips', None, "A folder for each speaker's clips, as CSV files that launch.adapt reads."
)


def main() -> None:
  config_lib.validate(CONFIG.value)
  study, corpus = CONFIG.value.study, loading.load(CONFIG.value)
  common.show(summaries.corpus(corpus, study.first_user, study.num_users))
  if CLIPS.value:
    own_clips.write_speakers(pathlib.Path(CLIPS.value), corpus)


if __name__ == '__main__':
  common.run(main)
