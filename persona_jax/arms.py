"""The arms of the study: the ways to a prediction that are compared on the same query clips."""

from typing import Collection

BASELINE = 'baseline'  # the pre-trained predictor as it is
MEAN_SHIFT = 'mean_shift'  # the baseline, shifted by the support's shrunken mean residual
FINE_TUNED = ('fs_ua', 'fs_ua_kd', 'fs_ua_token', 'fs_adapter', 'fs_base')
ARMS = (BASELINE, MEAN_SHIFT, *FINE_TUNED)

NAMES = {BASELINE: 'Baseline', MEAN_SHIFT: 'Mean shift', 'fs_ua': 'FS-UA', 'fs_ua_kd': 'FS-UA-KD',
         'fs_ua_token': 'FS-UA, distillation token', 'fs_adapter': 'FS, adapter only',
         'fs_base': 'FS, base only'}


def shown(arms: Collection[str]) -> str | None:
  """Of `arms`, the one that stands for personalising where a figure has room for one, if any."""
  return next((arm for arm in ('fs_ua_kd', *reversed(ARMS)) if arm in arms and arm != BASELINE), None)
