"""The controls beside a study: arms given another person's clips, or clips of one sign."""

from collections.abc import Mapping

from persona_jax.arms import (
  BASELINE,
  CALIBRATED,
  CONTROLS,
  ENSEMBLE_CALIBRATED,
  NAMES,
  WITHOUT_CLIPS,
  calibrated_for,
)
from persona_jax.evaluation import statistics
from persona_jax.reporting.arm_comparison import HARM, paired
from persona_jax.reporting.explanations import caveat, interval_note
from persona_jax.reporting.markdown import interval, table
from persona_jax.reporting.scores import Scores

_OWN = 'own clips, at random'
_TITLES = {
  'other': "another person's",
  'one_sided': 'of one sign',
  'one_sided_told': 'of one sign, told so',
}


def section(scores: Scores, of_controls: Mapping[str, Scores]) -> list[str]:
  """Differences in MAE under each control, beside those of the study itself.

  Args:
    scores: the study's records.
    of_controls: {control: its records}; where there are none, nothing is shown.
  """
  if not of_controls:
    return []
  conditions = {_OWN: scores} | {_TITLES[name]: found for name, found in of_controls.items()}
  arms = [arm for arm in scores.arms if arm not in WITHOUT_CLIPS]
  parts = []
  if BASELINE in scores.arms:
    parts += ['### Paired differences in MAE from the baseline', _table(conditions, arms, False)]
  if {CALIBRATED, ENSEMBLE_CALIBRATED} & set(scores.arms):
    parts += [
      '### Paired differences in MAE from the calibrated baseline of the same teachers',
      _table(conditions, arms, True),
    ]
  if not arms or not parts:
    return []
  explained = [f'- {_TITLES[name]}: {CONTROLS[name]}.' for name in of_controls]
  return [
    '## Controls',
    'A gain that is personal is lost with the clips of another person. Clips that were picked '
    'because of their labels mislead an arm that takes them for random ones. Within a column, all '
    'arms are scored on the same query clips.',
    '\n'.join(explained),
    *parts,
    f'{interval_note(scores)} Harmed are the speakers whose MAE is worse by more than {HARM}.',
    *caveat(scores),
  ]


def _table(conditions: Mapping[str, Scores], arms: list[str], from_calibrated: bool) -> str:
  """A row per arm, a column per condition; the reference is the baseline, or the calibrated one."""
  rows = []
  for arm in arms:
    reference = calibrated_for(arm) if from_calibrated else BASELINE
    rows.append([NAMES[arm], *(_cell(scores, arm, reference) for scores in conditions.values())])
  return table(['arm', *conditions], rows)


def _cell(scores: Scores, arm: str, reference: str) -> str:
  """The mean difference with its interval, and the speakers harmed; a dash without records."""
  if arm not in scores.arms or reference not in scores.arms:
    return '–'
  difference = paired(scores, 'mae', arm, reference).table
  harmed = int((statistics.user_means(difference) > HARM).sum())
  return f'{interval(statistics.bootstrap(difference), signed=True)}, {harmed} harmed'
