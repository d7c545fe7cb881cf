"""Where an arm's gain comes from: calibration, the user's mean of labels, expression, the rest."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from persona_jax.arms import (
  ARMS,
  BASELINE,
  CALIBRATED,
  ENSEMBLE,
  ENSEMBLE_CALIBRATED,
  ENSEMBLES,
  NAMES,
  WITHOUT_CLIPS,
  headline_arm,
  is_bayesian,
)
from persona_jax.evaluation import statistics
from persona_jax.evaluation.statistics import Interval
from persona_jax.reporting.arm_comparison import paired
from persona_jax.reporting.document import Beside, Figures, Part
from persona_jax.reporting.explanations import caveat, interval_note
from persona_jax.reporting.markdown import interval, listed, number, table
from persona_jax.reporting.scores import Scores

# {arm: what it uses that the one before it does not}; the first is compared with the baseline.
_STAGES = {
  CALIBRATED: 'calibration',
  'label_mean': "the user's mean of labels",
  'joint': 'expression',
}
_ENSEMBLE_STAGES = {
  ENSEMBLE: 'averaging teachers',
  ENSEMBLE_CALIBRATED: 'calibration',
  'ensemble_label_mean': _STAGES['label_mean'],
  'ensemble_joint': _STAGES['joint'],
}
_REST = 'the rest of the arm'


class Step(NamedTuple):
  """From one arm to another that uses more.

  Attributes:
    before, after: the arms.
    uses: what the second uses and the first does not.
  """

  before: str
  after: str
  uses: tuple[str, ...]

  @property
  def source(self) -> str:
    return listed(self.uses)


def section(scores: Scores, figures: Figures) -> list[Part]:
  """Nothing where no arm stands between the baseline and another.

  Args:
    scores: the records.
    figures: of the same gains.
  """
  chains = {arm: steps(scores.arms, arm) for arm in explained(scores.arms)}
  chains = {arm: chain for arm, chain in chains.items() if chain}
  if not chains:
    return []
  known = gains(scores, list(dict.fromkeys(step for chain in chains.values() for step in chain)))
  rows = [
    [_row_name(step), NAMES[step.before], NAMES[step.after], interval(gain, signed=True)]
    for step, gain in known.items()
  ]
  text = [
    'A gain is how much lower the MAE is; a negative one is a loss. Calibration is learned on '
    'other speakers: it needs no clip of the user.',
    '\n'.join(
      f'- {_sentence(arm, _total(scores, arm), chain, [known[step].mean for step in chain])}'
      for arm, chain in chains.items()
    ),
    table(['what adds to the gain', 'from', 'to', 'gain in MAE'], rows),
    interval_note(scores),
    *caveat(scores, (BASELINE, *chains)),
  ]
  return ['## Where the gain comes from', Beside('\n\n'.join(text), figures)]


def explained(arms: Collection[str]) -> list[str]:
  """The arm that stands for personalisation, then the Bayesian arms that use clips."""
  headline = headline_arm(arms)
  bayesian = [arm for arm in ARMS if arm in arms and arm not in WITHOUT_CLIPS and is_bayesian(arm)]
  return list(dict.fromkeys([*([headline] if headline else []), *bayesian]))


def steps(arms: Collection[str], arm: str) -> list[Step]:
  """From the baseline to `arm`, by way of the arms that stand between and have records.

  Where one has none, the step to the next is of both their sources. Empty where there is nothing
  to take apart.
  """
  if BASELINE not in arms:
    return []
  found, before, uses = [], BASELINE, []
  stages = _ENSEMBLE_STAGES if arm in ENSEMBLES else _STAGES
  for stage, source in (*stages.items(), (arm, _REST)):
    uses.append(source)
    if stage in arms:
      found.append(Step(before, stage, tuple(uses)))
      before, uses = stage, []
    if stage == arm:
      break
  return found if len(found) > 1 else []


def gains(scores: Scores, wanted: Sequence[Step]) -> dict[Step, Interval]:
  """{step: by how much it lowers the MAE, positive for a gain}."""
  differences = [paired(scores, 'mae', step.before, step.after).table for step in wanted]
  return dict(zip(wanted, statistics.bootstraps(differences), strict=True))


def _total(scores: Scores, arm: str) -> float:
  return float(statistics.mean_over_users(paired(scores, 'mae', BASELINE, arm).table))


def _row_name(step: Step) -> str:
  return f'{step.source}, without a clip' if step.after in WITHOUT_CLIPS else step.source


def _sentence(arm: str, total: float, chain: Sequence[Step], means: Sequence[float]) -> str:
  """An arm's gain and its parts, as they are printed."""
  total, name = round(total, 3), NAMES[arm]
  if not total > 0:
    return f'{name} does not gain on the baseline ({number(total, signed=True)}).'
  parts = [_part(step.uses, mean) for step, mean in zip(chain, means, strict=True)]
  without = [step.source for step in chain if step.after in WITHOUT_CLIPS]
  free, further = round(sum(means[: len(without)]), 3), parts[len(without) :]
  if not without:
    lead = f'The gain is {number(total)} ({name}).'
  elif free >= total:
    lead, parts = (
      f'Of the gain of {number(total)} ({name}), all can be had without a clip of the user: '
      f'{listed(without)} alone gain{"" if len(without) > 1 else "s"} {number(free)}.',
      further,
    )
  elif free > 0:
    lead, parts = (
      f'Of the gain of {number(total)} ({name}), {number(free)} needs no clip of the user.',
      further,
    )
  else:
    lead = (
      f'Of the gain of {number(total)} ({name}), nothing can be had without a clip of the user.'
    )
  told = listed(parts)
  return f'{lead} {told[0].upper()}{told[1:]}.'


def _part(uses: tuple[str, ...], mean: float) -> str:
  mean, several = round(mean, 3), len(uses) > 1
  verb, after = ('add', number(mean)) if mean > 0 else ('take', f'{number(-mean)} away')
  if not mean:
    verb, after = 'add', 'nothing'
  return f'{listed(uses)} {verb}{"" if several else "s"} {after}'
