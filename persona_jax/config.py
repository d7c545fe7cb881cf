"""The settings of a run: the paper's values, and what modes make of them."""

import ml_collections
from ml_collections import config_dict

from persona_jax.arms import (
  BASELINE,
  BAYESIAN,
  CALIBRATED,
  CONTROLS,
  ENSEMBLES,
  MEAN_SHIFT,
  TOLD,
)
from persona_jax.config_validation import validate as validate
from persona_jax.errors import UserError
from persona_jax.types import MODALITIES, Config


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
  the number of clips. 'smoke' shrinks the study to about a minute.

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
