"""Says what is in the feature files: what was kept, what was not and why, and who the users are.

  python -m launch.check_data --config=configs/mosi.py --config.data.root=DIR
"""

from launch import common
from persona_jax import config as configuration
from persona_jax.data import corpus
from persona_jax.reporting import summaries

CONFIG = common.define_config()


def main() -> None:
  configuration.validate(CONFIG.value)
  study = CONFIG.value.study
  common.show(summaries.corpus(corpus.load(CONFIG.value), study.first_user, study.num_users))


if __name__ == '__main__':
  common.run(main)
