"""What is said of values that cannot work."""

import pytest

from configs import mosi
from persona_jax import config as config_lib
from persona_jax.errors import UserError


@pytest.mark.parametrize(
  'field, value, complaint',
  [
    ('model.num_heads', 7, 'config.model.num_heads = 7: expected a divisor of config.model.width'),
    ('model.modalities', ('vision', 'audio'), 'expected some of language, audio, vision'),
    ('model.dropout.relu', 1.0, 'config.model.dropout.relu = 1.0: expected 0 or more'),
    ('model.attention', 'causal', "expected 'masked' or 'reference'"),
    ('data.missing', 'guess', "config.data.missing = 'guess': expected 'mask' or 'drop'"),
    (
      'data.frames_per_second.audio',
      -1,
      'frames_per_second.audio = -1.0: expected more than 0, or 0 for',
    ),
    ('pretrain.train_fraction', 1.0, 'between 0 and 1'),
    ('adapt.weight', 1.5, 'config.adapt.weight = 1.5: expected 0 to 1'),
    ('adapt.temperature', 0, 'config.adapt.temperature = 0.0: expected more than 0'),
    ('model.matmul_precision', 'bfloat16', "expected 'float32' or 'tensorfloat32'"),
    ('study.arms', ('baseline', 'magic'), 'expected different ones of baseline, mean_shift, fs_ua'),
    ('study.arms', (), 'expected different ones of baseline'),
    ('study.seeds', (0, 0), 'expected different ones, each an integer'),
    ('study.shots', (0, 5), 'expected different integers of at least 1'),
    ('study.shots', (1, 2), 'expected config.study.num_support = 5 among them'),
    (
      'study.folds',
      (0, 10),
      r'config.study.folds = \(0, 10\): expected distinct numbers of 0 to 9',
    ),
    ('study.num_query', 0, 'at least 1, or None'),
    ('seed', -1, 'config.seed = -1'),
    ('seed', 2**31, 'config.seed = 2147483648: expected an integer of 0 to 2147483647'),
    ('study.seeds', (0, 2**31), 'expected different ones, each an integer of 0 to 2147483647'),
    ('study.seeds', (True,), 'expected different ones, each an integer'),
    (
      'normalise.modalities',
      ('audio', 'smell'),
      'expected different ones of language, audio, vision',
    ),
    ('normalise.deviation', 0, 'config.normalise.deviation = 0.0: expected more than 0'),
    ('normalise.deviation', float('inf'), 'config.normalise.deviation = inf: expected more than 0'),
    ('normalise.limit', -1, 'config.normalise.limit = -1.0: expected more than 0'),
  ],
)
def test_bad_values_are_explained(field, value, complaint):
  config = mosi.get_config()
  *path, last = field.split('.')
  section = config
  for part in path:
    section = section[part]
  section[last] = value
  with pytest.raises(UserError, match=complaint):
    config_lib.validate(config)
