"""The paper's study on CMU-MOSI: ten held-out speakers, MulT of 5 layers, 40 epochs.

  python -m launch.study --config=configs/mosi.py --config.data.root=DIR --workdir=runs/mosi

With 3 layers, 12 epochs and utterance-level features, it takes 7 minutes on two CPU cores. Expect a
baseline MAE of about 0.95, and 0.87 after personalising with distillation (over three seeds, 0.93
to 0.96 and 0.87 to 0.90). `adapt.num_steps` was chosen on the 20 speakers who rank behind the ten
users, held out together: of 5 to 80 steps, 20 did best there.

DIR holds the .csd files of CMU-MOSI named below. `python -m launch.check_data` shows their content.
"""

from persona_jax import config as config_lib
from persona_jax.types import Config


def get_config(mode: str = '') -> Config:
  """`mode` is any of `config_lib.MODES`, joined by commas, or empty."""
  config = config_lib.paper()
  config.data = config_lib.csd_data(
    labels='CMU_MOSI_Opinion_Labels.csd',
    language='CMU_MOSI_TimestampedWordVectors.csd',
    audio='CMU_MOSI_COVAREP.csd',
    vision='CMU_MOSI_Visual_Facet_42.csd',
  )
  return config_lib.apply_mode(config, mode)
