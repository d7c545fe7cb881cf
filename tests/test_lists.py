"""Lists on the command line, as people type them."""

import pytest
from absl import flags
from ml_collections import config_flags

from launch import common  # noqa: F401, whose import teaches config flags how lists are written


def parsed(*argv):
  """The config that these flags give."""
  values = flags.FlagValues()
  argv = ['launcher', *argv]
  config_flags.DEFINE_config_file(
    'config', 'configs/synthetic.py', flag_values=values, sys_argv=argv
  )
  values(argv)
  return values.config


@pytest.mark.parametrize(
  'typed, value',
  [
    ('arms=baseline,fs_ua_kd', ('baseline', 'fs_ua_kd')),
    ('arms=baseline, fs_ua_kd', ('baseline', 'fs_ua_kd')),
    ('arms=(baseline,fs_ua_kd)', ('baseline', 'fs_ua_kd')),
    ('arms=["baseline",fs_ua_kd]', ('baseline', 'fs_ua_kd')),
    ("arms=('baseline','fs_ua_kd')", ('baseline', 'fs_ua_kd')),
    ('arms=baseline', ('baseline',)),
    ("arms=('baseline',)", ('baseline',)),
    ('shots=1,2,5', (1, 2, 5)),
    ('shots=1, 2, 5,', (1, 2, 5)),
    ('shots=1 2 5', (1, 2, 5)),
    ('shots=(1,2,5)', (1, 2, 5)),
    ('shots=[1,2,5]', (1, 2, 5)),
    ('shots=5', (5,)),
    ('shots=', ()),
    ('shots=()', ()),
    ('seeds=0,1', (0, 1)),
  ],
)
def test_lists_as_people_type_them(typed, value):
  field = typed.partition('=')[0]
  assert parsed(f'--config.study.{typed}').study[field] == value


def test_a_flag_that_is_repeated_adds_to_the_list():
  assert parsed('--config.study.shots=1,2', '--config.study.shots=5').study.shots == (1, 2, 5)


def test_what_is_no_list_is_told_how_one_is_written():
  with pytest.raises(flags.IllegalFlagValueError, match='with commas between, such as 1,2,5'):
    parsed('--config.study.shots={1,2}')
