"""The embedded default: the whole study on the synthetic persona corpus.

  python -m launch.study --config=configs/synthetic.py --workdir=runs/demo
"""

import ml_collections

from persona_jax import config as configuration


def get_config(mode: str = '') -> ml_collections.ConfigDict:
  """`mode` is '' or 'smoke', which shrinks the study to seconds."""
  config = configuration.paper()
  config.data = dict(name='synthetic', seed=0, num_speakers=30, clips_per_speaker=32)
  config.model.update(num_layers=2, num_heads=6, width=24)
  config.pretrain.update(num_epochs=20, batch_size=24)
  return configuration.shrunk(config, mode)
