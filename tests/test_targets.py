import numpy as np
import pytest

from configs import mosi, synthetic
from persona_jax import config as config_lib
from persona_jax import targets
from persona_jax.errors import UserError
from persona_jax.targets import SENTIMENT, Target


def test_names_and_numbers():
  assert targets.named('sentiment') == targets.named('0') == SENTIMENT == Target('sentiment', -3, 3)
  assert targets.named('fear') == targets.named('6') == Target('fear', 0, 3)
  assert targets.of(synthetic.get_config()) == targets.of(mosi.get_config()) == SENTIMENT
  for name in ('joy', '7', '-1', ''):
    with pytest.raises(UserError, match=f"config.data.target = '{name}': expected one of"):
      targets.named(name)


def test_ranges():
  fear = targets.named('fear')
  assert [fear.holds(label) for label in (0, 3, -0.1, 3.1, np.nan)] == [True, True] + [False] * 3
  assert SENTIMENT.holds(-3) and not SENTIMENT.holds(-3.1)
  assert (SENTIMENT.range, fear.range) == ('-3 to 3', '0 to 3')


def test_the_scale_of_sentiment():
  fear, labels = targets.named('fear'), np.float32([0, 1, 1.5, 3])
  assert fear.scaled(labels).tolist() == [-3, -1, 0, 3]
  assert fear.unscaled(fear.scaled(labels)).tolist() == labels.tolist()
  assert SENTIMENT.scaled(labels) is labels is SENTIMENT.unscaled(labels)


@pytest.mark.parametrize(
  'change',
  [
    dict(data=dict(target='joy')),
    dict(data=dict(target='fear'), study=dict(support='one_sided')),
    dict(data=dict(target='fear'), study=dict(controls=('one_sided',))),
    dict(data=dict(format='hdf4')),
  ],
)
def test_configs_that_cannot_work_are_refused(change):
  config = mosi.get_config()
  config.update(change)
  with pytest.raises(UserError, match=r'config\.(data\.target|study|data\.format)'):
    config_lib.validate(config)
