"""The arms of the study: the ways to a prediction that are compared on the same query clips."""

from collections.abc import Collection

BASELINE = 'baseline'  # the pre-trained predictor, unchanged
MEAN_SHIFT = 'mean_shift'  # the baseline plus the shrunken mean residual of the support
FINE_TUNED = ('fs_ua', 'fs_ua_kd', 'fs_ua_token', 'fs_adapter', 'fs_base')
# Of what the teacher says, by `persona_jax.persona`; 'calibrated' uses no clip of the user.
CALIBRATED = 'calibrated'
BAYESIAN = (CALIBRATED, 'label_mean', 'joint', 'residual', 'bayes', 'bayes_kd')
STUDENT_OF = {'bayes_kd': 'fs_ua_kd'}  # the arm whose fine-tuned predictor a Bayesian arm includes
ARMS = (BASELINE, MEAN_SHIFT, *FINE_TUNED, *BAYESIAN)
WITHOUT_CLIPS = (BASELINE, CALIBRATED)  # the same whatever the user's clips

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


def headline_arm(arms: Collection[str]) -> str | None:
  """Returns the arm of `arms` to show where only one fits; None if none of them personalises."""
  return next(
    (
      arm
      for arm in ('bayes_kd', 'bayes', 'fs_ua_kd', *reversed(ARMS))
      if arm in arms and arm not in WITHOUT_CLIPS
    ),
    None,
  )
