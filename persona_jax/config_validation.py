"""The check that the values of a config make sense.

The base model and the distillation function are names of registries, which check them:
`persona_jax.model.registry.base_model` and `persona_jax.training.losses.distillation`.
"""

import math
from collections.abc import Callable

from persona_jax import targets
from persona_jax.arms import (
  ARMS,
  CONTROLS,
  ENSEMBLE,
  ENSEMBLES,
  STUDENT_OF,
  TOLD,
  is_bayesian,
)
from persona_jax.errors import UserError
from persona_jax.types import MODALITIES, Config

_FORMATS = ('', 'csd', 'mult', 'mmsa', 'clips', 'corpus')  # of config.data.format
_SEED = 'an integer of 0 to 2147483647'
_Expect = Callable[[str, bool, str], None]


def _is_seed(value) -> bool:
  """Whether `value` is an integer that fits int32, as on the device."""
  return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def validate(config: Config) -> None:
  """Raises `UserError` for the first field whose value cannot work, saying what would."""

  def expect(field: str, holds: bool, expected: str) -> None:
    if not holds:
      value = config
      for part in field.split('.'):
        value = value[part]
      value = tuple(value) if isinstance(value, (list, tuple)) else value
      raise UserError(f'config.{field} = {value!r}: expected {expected}.')

  expect('seed', _is_seed(config.seed), _SEED)
  _validate_data(config, expect)
  _validate_model(config, expect)
  _validate_training(config, expect)
  _validate_study(config, expect)
  _validate_arms(config, expect)


def _validate_data(config: Config, expect: _Expect) -> None:
  expect('data.name', config.data.name in ('csd', 'synthetic'), "'csd' or 'synthetic'")
  if 'dtype' in config.data:
    expect('data.dtype', config.data.dtype in ('float32', 'float16'), "'float32' or 'float16'")
  if config.data.name == 'csd':
    is_emotion = targets.of(config).is_emotion
    expect(
      'study.controls',
      not is_emotion or not {'one_sided', TOLD} & set(config.study.controls),
      'none of one_sided and one_sided_told for an emotion, whose labels have one sign',
    )
    expect(
      'study.support',
      not is_emotion or config.study.support == 'random',
      "'random' for an emotion, whose labels have one sign",
    )
    expect(
      'data.format', config.data.format in _FORMATS, f'one of {", ".join(_FORMATS[1:])}, or empty'
    )
    expect('data.missing', config.data.missing in ('mask', 'drop'), "'mask' or 'drop'")
    for modality in MODALITIES:
      expect(f'data.max_steps.{modality}', config.data.max_steps[modality] >= 1, 'at least 1 step')
      rate = config.data.frames_per_second[modality]
      expect(
        f'data.frames_per_second.{modality}',
        rate is None or 0 <= rate < math.inf,
        'more than 0, or 0 for the rate of the file',
      )
  else:
    expect('data.seed', _is_seed(config.data.seed), _SEED)
    expect('data.num_speakers', config.data.num_speakers >= 2, 'at least 2')
    expect('data.clips_per_speaker', config.data.clips_per_speaker >= 4, 'at least 4')
  normalise = config.normalise
  expect(
    'normalise.modalities',
    len(set(normalise.modalities)) == len(normalise.modalities)
    and set(normalise.modalities) <= set(MODALITIES),
    f'different ones of {", ".join(MODALITIES)}',
  )
  expect('normalise.deviation', 0 < normalise.deviation < math.inf, 'more than 0, and finite')
  expect('normalise.limit', normalise.limit > 0, 'more than 0, or inf for no limit')


def _validate_training(config: Config, expect: _Expect) -> None:
  """Pre-training and fine-tuning."""
  for field in ('num_epochs', 'batch_size', 'plateau_patience'):
    expect(f'pretrain.{field}', config.pretrain[field] >= 1, 'at least 1')
  most = 1 if config.model.attention == 'reference' else math.inf
  expect(
    'pretrain.num_buckets',
    0 <= config.pretrain.num_buckets <= most,
    "at least 0; and at most 1 where config.model.attention='reference' attends to padding",
  )
  for field in ('learning_rate', 'clip_norm'):
    expect(f'pretrain.{field}', config.pretrain[field] > 0, 'more than 0')
  expect(
    'pretrain.validation',
    config.pretrain.validation in ('clips', 'speakers'),
    "'clips' or 'speakers'",
  )
  for field in ('plateau_factor', 'train_fraction', 'valid_speakers'):
    expect(f'pretrain.{field}', 0 < config.pretrain[field] < 1, 'between 0 and 1')
  expect('adapt.num_steps', config.adapt.num_steps >= 1, 'at least 1')
  for field in ('base_learning_rate', 'adapter_learning_rate'):
    expect(f'adapt.{field}', config.adapt[field] >= 0, 'at least 0')
  expect('adapt.weight', 0 <= config.adapt.weight <= 1, '0 to 1')
  expect('adapt.temperature', config.adapt.temperature > 0, 'more than 0')
  expect('adapt.support', config.adapt.support in ('random', 'chosen'), "'random' or 'chosen'")


def _validate_arms(config: Config, expect: _Expect) -> None:
  """What arms need of one another, and of the rest of the config."""
  arms = config.study.arms
  bayesian = [arm for arm in arms if is_bayesian(arm)]
  if bayesian:
    expect(
      'pretrain.validation',
      config.pretrain.validation == 'speakers',
      f"'speakers' for the arm {bayesian[0]}, which learns from unseen speakers how people differ",
    )
  for arm in arms:
    student = STUDENT_OF.get(arm, arm)
    expect('study.arms', student in arms, f'{student} among them, which {arm} includes')
  ensembles = [arm for arm in arms if arm in ENSEMBLES]
  expect(
    'study.teachers',
    not ensembles or config.study.teachers > 1,
    f'at least 2 for the arm {ensembles[0] if ensembles else ""}, which averages them',
  )
  expect(
    'study.teachers',
    bool(ensembles) or config.study.teachers == 1,
    f"1 unless config.study.arms has an arm of the ensemble ('{ENSEMBLE}' and such)",
  )
  expect(
    'study.arms',
    not ensembles or ENSEMBLE in arms,
    f"'{ENSEMBLE}' among them: a gain of averaging must not be taken for a personal one",
  )


def _validate_study(config: Config, expect: _Expect) -> None:
  study = config.study
  expect(
    'study.arms',
    study.arms and set(study.arms) <= set(ARMS) and len(set(study.arms)) == len(study.arms),
    f'different ones of {", ".join(ARMS)}',
  )
  expect(
    'study.seeds',
    len(set(study.seeds)) == len(study.seeds) and all(_is_seed(seed) for seed in study.seeds),
    f'different ones, each {_SEED}',
  )
  expect(
    'study.shots',
    len(set(study.shots)) == len(study.shots)
    and all(isinstance(k, int) and k >= 1 for k in study.shots),
    'different integers of at least 1',
  )
  expect(
    'study.shots',
    not study.shots or study.num_support in study.shots,
    f'config.study.num_support = {study.num_support} among them',
  )
  for field in ('num_users', 'num_draws', 'num_support', 'teachers'):
    expect(f'study.{field}', config.study[field] >= 1, 'at least 1')
  expect('study.first_user', config.study.first_user >= 0, 'at least 0')
  expect(
    'study.num_query',
    config.study.num_query is None or config.study.num_query >= 1,
    'at least 1, or None for all',
  )
  expect(
    'study.protocol',
    study.protocol in ('leave_one_out', 'grouped'),
    "'leave_one_out' or 'grouped'",
  )
  expect('study.num_groups', study.num_groups >= 2, 'at least 2')
  expect('study.support', study.support in ('random', 'one_sided'), "'random' or 'one_sided'")
  expect('study.support_from', study.support_from in ('own', 'other'), "'own' or 'other'")
  expect(
    'study.controls',
    set(study.controls) <= set(CONTROLS) and len(set(study.controls)) == len(study.controls),
    f'different ones of {", ".join(CONTROLS)}',
  )
  expect(
    'study.controls',
    not study.controls or (study.support, study.support_from) == ('random', 'own'),
    "none unless config.study.support is 'random' and config.study.support_from is 'own'",
  )
  expect(
    'study.controls',
    'other' not in study.controls or study.protocol == 'grouped',
    "none of 'other' unless config.study.protocol is 'grouped', where folds have several users",
  )
  expect(
    'study.support_from',
    study.support_from == 'own' or study.support == 'random',
    "'own' unless config.study.support is 'random'",
  )
  expect(
    'study.support_from',
    study.support_from == 'own' or study.protocol == 'grouped',
    "'own' unless config.study.protocol is 'grouped', where folds have several users",
  )
  folds = study.folds
  num_folds = study.num_groups if study.protocol == 'grouped' else study.num_users
  expect(
    'study.folds',
    len(set(folds)) == len(folds) and all(isinstance(f, int) and 0 <= f < num_folds for f in folds),
    f'distinct numbers of 0 to {num_folds - 1}',
  )


def _validate_model(config: Config, expect: _Expect) -> None:
  model = config.model
  expect('model.attention', model.attention in ('masked', 'reference'), "'masked' or 'reference'")
  expect(
    'model.modalities',
    len(model.modalities) > 0
    and tuple(m for m in MODALITIES if m in model.modalities) == tuple(model.modalities),
    f'some of {", ".join(MODALITIES)}, in this order',
  )
  for field in ('width', 'num_layers', 'num_heads', 'prompt_length'):
    expect(f'model.{field}', model[field] >= 1, 'at least 1')
  expect(
    'model.num_heads',
    model.width % model.num_heads == 0,
    f'a divisor of config.model.width = {model.width}',
  )
  expect(
    'model.matmul_precision',
    model.matmul_precision in ('float32', 'tensorfloat32'),
    "'float32' or 'tensorfloat32'",
  )
  for modality in MODALITIES:
    expect(f'model.kernel_sizes.{modality}', model.kernel_sizes[modality] >= 1, 'at least 1 step')
  for place, rate in model.dropout.items():
    expect(f'model.dropout.{place}', 0 <= rate < 1, '0 or more, and less than 1')
