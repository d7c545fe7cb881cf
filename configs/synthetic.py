"""The embedded default: the whole study on the synthetic persona corpus.

  python -m launch.study --config=configs/synthetic.py --workdir=runs/demo

It takes three to fourteen minutes on two CPU cores, one or two of them for compilation. Expect a
baseline MAE of 1.0 to 1.1 on the ten held-out speakers, 0.8 after personalising (a predictor that
knows every persona has 0.49), and an interval of the paired difference that excludes 0. With
`:smoke` it takes less than a minute once compiled, and its scores mean nothing.
"""

from persona_jax import config as config_lib
from persona_jax.types import Config


def get_config(mode: str = '') -> Config:
  """`mode` is any of `config_lib.MODES`, joined by commas, or empty."""
  config = config_lib.paper()
  config.data = dict(name='synthetic', seed=0, num_speakers=30, clips_per_speaker=32)
  config.model.update(num_layers=2, num_heads=6, width=24)
  config.pretrain.update(num_epochs=20, batch_size=24)
  config.study.num_groups = 5
  config.pretrain.valid_speakers = 0.25
  return config_lib.apply_mode(config, mode)
