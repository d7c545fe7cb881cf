"""An epoch of CMU-MOSI's lengths: how many batches, and what padding costs."""

import numpy as np
import pytest
from makers import write_csd

from configs import mosi
from persona_jax.errors import UserError
from persona_jax.training import epoch_benchmark


def test_an_epoch_is_its_batches_times_their_steps(tmp_path, monkeypatch):
  """20 clips of 1 s and 4 of 8 s, in batches of 10; a step takes as long as its audio has steps."""
  ends = np.cumsum([1.0] * 20 + [8.0] * 4)
  spans = np.stack([ends - ([1.0] * 20 + [8.0] * 4), ends], axis=1)
  write_csd(tmp_path / 'y.csd', {'video': (np.zeros((24, 1)), spans)})
  config = mosi.get_config()
  config.data.update(root=str(tmp_path), labels='y.csd')
  config.pretrain.update(num_buckets=2, batch_size=10)
  monkeypatch.setattr(
    epoch_benchmark, '_step_s', lambda config, steps, *rest: float(steps['audio'])
  )
  found = epoch_benchmark.measure(config, num_folds=1, repeats=1)
  assert found['steps'] == [[3, 13, 15], [24, 100, 120]] and found['batches'] == [2, 1]
  assert found['epoch_s'] == 2 * 13 + 100 and found['padded_epoch_s'] == 3 * 100
  config.data.root = ''
  with pytest.raises(UserError, match='needs the durations of clips'):
    epoch_benchmark.measure(config, 1, 1)
