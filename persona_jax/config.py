"""The settings of a run: the paper's values, and the check that a run's values make sense.

The base model and the distillation function are names of registries, which check them:
`persona_jax.model.registry.base_model` and `persona_jax.training.losses.distillation`.
"""

import math
from collections.abc import Callable

import ml_collections
from ml_collections import config_dict

from persona_jax import targets
from persona_jax.arms import (
  ARMS,
  BASELINE,
  BAYESIAN,
  CALIBRATED,
  CONTROLS,
  ENSEMBLE,
  ENSEMBLES,
  MEAN_SHIFT,
  STUDENT_OF,
  TOLD,
  is_bayesian,
)
from persona_jax.errors import UserError
from persona_jax.types import MODALITIES, Config

FORMATS = ('', 'csd', 'mult', 'mmsa', 'clips', 'corpus')  # of config.data.format
SEED = 'an integer of 0 to 2147483647'


def paper() -> Config:
  """Returns the paper's settings (sections 4.2 and 5.3), and MulT's public ones where it is silent.

  A config file fills the data fields, `config.data`.
  """
  return ml_collections.ConfigDict(
    dict(
      seed=0,
      quick_compile=False,  # compile faster to slower programs, for runs of seconds
      data=dict(),
      normalise=dict(  # see persona_jax.data.normalize
        modalities=('audio', 'vision'),  # standardised per column; word vectors are left unchanged
        deviation=0.2,  # of a standardised column over the training clips
        limit=3.0,  # standard deviations at which a value is clipped
      ),
      model=dict(
        name='mult',  # an entry of persona_jax.model.registry.BASE_MODELS
        attention='masked',  # or 'reference': attend to padding, as the public code does
        modalities=MODALITIES,
        width=30,
        num_layers=5,
        num_heads=10,
        prompt_length=1,
        kernel_sizes=dict(language=1, audio=1, vision=1),
        matmul_precision='float32',  # or 'tensorfloat32': faster on GPUs; no difference on CPUs
        dropout=dict(embedding=0.25, attention=0.1, relu=0.1, residual=0.1, output=0.0),
      ),
      pretrain=dict(
        num_epochs=40,
        batch_size=24,
        num_buckets=0,  # lengths that clips are padded to, see persona_jax.data.buckets; 0: choose
        learning_rate=1e-3,
        clip_norm=0.8,
        plateau_patience=20,  # epochs without a better validation loss before the rate falls
        plateau_factor=0.1,
        validation='clips',  # or 'speakers': validate on speakers whom nothing is learnt from
        train_fraction=0.7,  # of the other speakers' clips; the rest is for validation by clips
        valid_speakers=0.15,  # share of the clips whose speakers are for validation by speakers
      ),
      adapt=dict(
        num_steps=20,
        base_learning_rate=1e-4,
        adapter_learning_rate=1e-3,
        weight=0.6,  # the paper's lambda: weight of the labels against the teacher
        distillation='l1',  # an entry of persona_jax.training.losses.DISTILLATIONS
        temperature=1.0,  # of the distillation functions over classes: cross_entropy and kl
        support='random',  # or 'chosen': the user's clips were picked because of their label
      ),
      study=dict(
        protocol='leave_one_out',  # or 'grouped': hold out groups of speakers, all of them users
        num_groups=10,  # of the grouped protocol
        teachers=1,  # predictors per fold; the ensemble's arms average them, all others use one
        arms=(BASELINE, 'fs_ua', 'fs_ua_kd'),  # any of persona_jax.arms.ARMS
        seeds=(),  # repeat the study with each, such as (0, 1, 2); empty: config.seed alone
        num_users=10,  # of the leave-one-out protocol
        first_user=0,  # skip this many speakers, to choose settings on speakers who are no users
        num_draws=20,
        num_support=5,
        # For a curve, such as (1, 2, 5, 10), with num_support among them; empty: num_support alone.
        shots=(),
        num_query=_optional(int),  # the most query clips; None: all
        support='random',  # or 'one_sided': a control, whose support clips have labels of one sign
        support_from='own',  # or 'other': a control, on the clips of another user of the fold
        controls=(),  # any of persona_jax.arms.CONTROLS, beside the study, at num_support clips
        folds=(),  # indices of the users, or groups, to run, such as (0, 3); empty: all
        attention=True,
      ),
    )
  )


def seeds(config: Config) -> tuple[int, ...]:
  """The seeds of the study."""
  return tuple(config.study.seeds) or (config.seed,)


def shots(config: Config) -> tuple[int, ...]:
  """The numbers of support clips of the study, fewest first."""
  return tuple(sorted(config.study.shots)) or (config.study.num_support,)


# {control: its fields of `config.study`}
_CONTROLS = {
  'other': dict(support_from='other'),
  'one_sided': dict(support='one_sided'),
  TOLD: dict(support='one_sided'),
}


def picking(config: Config, control: str) -> Config:
  """`config.study` with what the control changes; '' changes nothing."""
  study = config.study.copy_and_resolve_references()
  study.update(_CONTROLS[control] if control else {})
  return study


def is_told(config: Config, control: str) -> bool:
  """Whether the arms that can heed it are told that clips were chosen by their labels."""
  return control == TOLD or config.adapt.support == 'chosen'


def csd_data(**files: str) -> Config:
  """`config.data` for computational sequences in one folder.

  Args:
    **files: file names in `root` of language, audio, vision and labels.
  """
  return ml_collections.ConfigDict(
    dict(
      name='csd',
      root='',
      format='',  # one of `FORMATS`; empty: recognised by content
      **files,
      file='',  # in `root`: one file of everything, in place of the four; see persona_jax/data
      target='sentiment',  # or an emotion of CMU-MOSEI: see persona_jax.targets
      mmsa_language='text',  # which array of MMSA's files is language, such as 'text_bert'
      speakers='',  # a CSV "video,speaker" in `root`; empty: every video counts as a speaker
      dtype='float32',  # or 'float16': what frames are kept in, half as large
      missing='mask',  # or 'drop': what to do with a clip that lacks a modality
      # Faster frames are averaged to this rate, MulT's; None or 0 keeps the rate of the file.
      frames_per_second=dict(
        language=_optional(float), audio=_optional(float, 12.5), vision=_optional(float, 15.0)
      ),
      max_steps=dict(language=50, audio=375, vision=500),  # longer sequences are cut at the end
    )
  )


def _optional(kind: type, value=None) -> config_dict.FieldReference:
  """A field that may also be None."""
  return config_dict.FieldReference(value, field_type=kind)


MODES = ('grouped', 'full', 'smoke')


def apply_mode(config: Config, mode: str) -> Config:
  """Applies the modes behind a config file's colon, such as 'smoke' or 'grouped,smoke'.

  'grouped' holds out groups of speakers, validates on speakers, and adds the Bayesian arms. 'full'
  goes with it, and adds several teachers, all arms of the ensemble, the controls, and a curve over
  the number of clips. 'smoke' shrinks the study to under a minute.

  Raises:
    UserError: any other mode.
  """
  modes = mode.split(',') if mode else []
  if not set(modes) <= set(MODES):
    raise UserError(
      f'config mode {mode!r}: expected some of {", ".join(MODES)} with commas between, or nothing '
      'after the colon.'
    )
  if 'full' in modes and 'grouped' not in modes:
    raise UserError(f'config mode {mode!r}: full goes with grouped, such as "grouped,full".')
  if 'grouped' in modes:
    config.study.protocol, config.pretrain.validation = 'grouped', 'speakers'
    config.study.arms = (BASELINE, CALIBRATED, 'fs_ua', 'fs_ua_kd', 'bayes', 'bayes_kd')
  if 'full' in modes:
    single = (BASELINE, MEAN_SHIFT, 'fs_ua', 'fs_ua_kd', *BAYESIAN)
    config.study.update(
      teachers=3,
      arms=(*single, *ENSEMBLES),
      controls=tuple(CONTROLS),
      shots=(1, 2, 5, 10),
    )
  if 'smoke' in modes:
    config.quick_compile = True
    config.model.update(num_layers=1, num_heads=2, width=8)
    config.pretrain.update(num_epochs=2, batch_size=32)
    config.adapt.num_steps = 3
    config.study.update(num_users=3, num_groups=3, num_draws=2, attention=False)
    if config.data.name == 'csd':
      config.data.max_steps = dict(language=8, audio=12, vision=12)
    else:
      config.data.update(num_speakers=6, clips_per_speaker=12)
      if 'grouped' in modes:  # enough speakers to learn how they differ
        config.data.num_speakers, config.pretrain.valid_speakers = 18, 0.35
  return config


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

  expect('seed', _is_seed(config.seed), SEED)
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
      'data.format', config.data.format in FORMATS, f'one of {", ".join(FORMATS[1:])}, or empty'
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
    expect('data.seed', _is_seed(config.data.seed), SEED)
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
  _validate_model(config, expect)
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
  _validate_study(config, expect)
  _validate_arms(config, expect)


def _validate_arms(config: Config, expect: Callable[..., None]) -> None:
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


def _validate_study(config: Config, expect: Callable[..., None]) -> None:
  study = config.study
  expect(
    'study.arms',
    study.arms and set(study.arms) <= set(ARMS) and len(set(study.arms)) == len(study.arms),
    f'different ones of {", ".join(ARMS)}',
  )
  expect(
    'study.seeds',
    len(set(study.seeds)) == len(study.seeds) and all(_is_seed(seed) for seed in study.seeds),
    f'different ones, each {SEED}',
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


def _validate_model(config: Config, expect: Callable[..., None]) -> None:
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
