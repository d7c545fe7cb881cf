"""Says what is in the feature files: what was kept, what was not and why, and who the users are.

python -m launch.check_data --config=configs/mosi.py --config.data.root=DIR
"""

from launch import common
from persona_jax import config as config_lib
from persona_jax.data import loading
from persona_jax.reporting import summaries

CONFIG = common.define_config()


def main() -> None:
  config_lib.validate(CONFIG.value)
  study = CONFIG.value.study
  common.show(summaries.corpus(loading.load(CONFIG.value), study.first_user, study.num_users))


if __name__ == '__main__':
  common.run(main)
