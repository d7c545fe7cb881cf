"""The arms of the study: the ways to a prediction that are compared on the same query clips."""

from collections.abc import Collection

BASELINE = 'baseline'  # the pre-trained predictor, unchanged
MEAN_SHIFT = 'mean_shift'  # the baseline plus the shrunken mean residual of the support
FINE_TUNED = ('fs_ua', 'fs_ua_kd', 'fs_ua_token', 'fs_adapter', 'fs_base')
# Of what the teacher says, by `persona_jax.persona`; 'calibrated' uses no clip of the user.
CALIBRATED = 'calibrated'
BAYESIAN = (CALIBRATED, 'label_mean', 'joint', 'residual', 'bayes', 'bayes_kd')
# Means over the teachers of a fold: of their predictions, or of what another arm makes of each.
ENSEMBLE, ENSEMBLE_CALIBRATED = 'ensemble', 'ensemble_calibrated'
MEMBER_OF = {ENSEMBLE: BASELINE} | {f'ensemble_{arm}': arm for arm in ('fs_ua_kd', *BAYESIAN)}
ENSEMBLES = tuple(MEMBER_OF)
# {arm: the arm whose fine-tuned predictor it includes}
STUDENT_OF = {
  'bayes_kd': 'fs_ua_kd',
  'ensemble_fs_ua_kd': 'fs_ua_kd',
  'ensemble_bayes_kd': 'fs_ua_kd',
}
ARMS = (BASELINE, MEAN_SHIFT, *FINE_TUNED, *BAYESIAN, *ENSEMBLES)
# The same whatever the user's clips.
WITHOUT_CLIPS = (BASELINE, CALIBRATED, ENSEMBLE, ENSEMBLE_CALIBRATED)

NAMES = {
  BASELINE: 'Baseline',
  MEAN_SHIFT: 'Mean shift',
  'fs_ua': 'FS-UA',
  'fs_ua_kd': 'FS-UA-KD',
  'fs_ua_token': 'FS-UA, distillation token',
  'fs_adapter': 'FS, adapter only',
  'fs_base': 'FS, base only',
  CALIBRATED: 'Calibrated, no clips',
  'label_mean': 'Label mean only',
  'joint': 'Joint Bayes',
  'residual': 'Residual Bayes',
  'bayes': 'Bayes',
  'bayes_kd': 'Bayes and FS-UA-KD',
}
NAMES |= {ENSEMBLE: 'Ensemble, no clips'} | {
  arm: f'Ensemble: {NAMES[member]}' for arm, member in MEMBER_OF.items() if arm != ENSEMBLE
}

# {control: how its support clips differ from random ones of the user}
TOLD = 'one_sided_told'
CONTROLS = {
  'other': "clips of another person, taken for the user's own",
  'one_sided': 'clips of one sign, taken for random ones',
  TOLD: 'clips of one sign, known to be chosen by their labels',
}


def is_bayesian(arm: str) -> bool:
  """Whether the arm predicts a distribution."""
  return MEMBER_OF.get(arm, arm) in BAYESIAN


def needed(arms: Collection[str], teacher: int) -> set[str]:
  """The arms that are made of a fold's teacher of this number: all of the first."""
  if not teacher:
    return set(arms)
  members = {MEMBER_OF[arm] for arm in arms if arm in ENSEMBLES}
  return members | {STUDENT_OF[arm] for arm in members if arm in STUDENT_OF}


def heeding(arms: Collection[str], control: str) -> list[str]:
  """The arms that a control is about: where they are told, those that can heed it."""
  if control != TOLD:
    return list(arms)
  return [arm for arm in arms if arm in WITHOUT_CLIPS or is_bayesian(arm)]


def calibrated_for(arm: str) -> str:
  """The arm that does what `arm` does but for the user's clips."""
  return ENSEMBLE_CALIBRATED if arm in ENSEMBLES else CALIBRATED


def headline_arm(arms: Collection[str]) -> str | None:
  """Returns the arm of `arms` to show where only one fits; None if none of them personalises."""
  preferred = ('ensemble_bayes_kd', 'ensemble_bayes', 'bayes_kd', 'bayes', 'fs_ua_kd')
  return next(
    (arm for arm in (*preferred, *reversed(ARMS)) if arm in arms and arm not in WITHOUT_CLIPS),
    None,
  )
