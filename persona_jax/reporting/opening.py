"""How a report opens: the answer in a sentence, and the size of the study."""

from collections.abc import Sequence

import numpy as np

from persona_jax.arms import BASELINE, NAMES, headline_arm
from persona_jax.evaluation import statistics
from persona_jax.reporting.arm_comparison import Comparison, matched, sign
from persona_jax.reporting.markdown import interval, literal, number
from persona_jax.reporting.scores import Scores

_MOST_NAMED = 10  # speakers without records
_WORDS = 'No One Two Three Four Five Six Seven Eight Nine Ten'.split()


def answer(
  scores: Scores, comparisons: Sequence[Comparison], num_users: int, num_support: int
) -> str:
  """What so many clips of a speaker do to the error; where that is not known, what is missing.

  Args:
    scores: the records of `num_support` clips.
    comparisons: of all their arms.
    num_users: of the whole study.
    num_support: clips that an arm was personalised on.
  """
  arm = headline_arm(scores.arms)
  if not scores.arms:
    return f'There are no records with {_clips(num_support).lower()} yet.'
  if arm is None:
    return _alone(scores, BASELINE, 'no records of a personalised arm')
  if BASELINE not in scores.arms:
    return _alone(scores, arm, 'no records of the baseline')
  (headline,) = (each for each in comparisons if (each.arm, each.reference) == (arm, BASELINE))
  scored = int(np.count_nonzero(~np.isnan(headline.user_means)))
  if not scored:
    return f'No speaker has records of both the baseline and {NAMES[arm]} yet.'
  so_far = f' So far, this is {scored} of the {num_users} speakers of the study.'
  return _compared(scores, headline, scored, num_support) + (so_far if scored < num_users else '')


def study_size(scores: Scores, corpus: dict, arms: Sequence[str], everybody: Sequence[str]) -> str:
  """Speakers, clips and draws; what the error is; and who and which arms have no records yet.

  Args:
    scores: the records.
    corpus: `corpus.json` of the workdir.
    arms, everybody: the arms and users of the whole study.
  """
  draws = len(scores.distinct('seed', 'draw'))
  scored = set(scores.users)
  missing = [literal(user) for user in everybody if user not in scored]
  if len(missing) > _MOST_NAMED:
    missing = [f'{len(missing)} of the {len(everybody)} speakers']
  missing += [NAMES.get(arm, literal(arm)) for arm in arms if arm not in scores.arms]
  return (
    f'{len(scores.users)} held-out speakers of {corpus["num_speakers"]}, '
    f'{corpus["num_clips"]} clips; {draws} draws of {"/".join(map(str, scores.shots))} support '
    f'clips per user. MAE is the mean absolute error, in points of {scores.target.name} from '
    f'{scores.target.range}.' + (f' No records yet of {", ".join(missing)}.' if missing else '')
  )


def _compared(scores: Scores, headline: Comparison, scored: int, num_support: int) -> str:
  arm, difference = headline.arm, headline.interval
  after, before = (
    number(float(statistics.mean_over_users(values.table)))
    for values in matched(scores, 'mae', arm, BASELINE)
  )
  who = f'{_clips(num_support)} ({NAMES[arm]})'
  error = 'the error (MAE)' if scored > 1 else 'the error (MAE) of one speaker'
  change = (
    f'from {before} to {after} [difference {number(difference.low, signed=True)}, '
    f'{number(difference.high, signed=True)}]'
  )
  if direction := sign(difference):
    verb = ('lower' if direction < 0 else 'raise') + ('s' if num_support == 1 else '')
    text = f'{who} {verb} {error} {change}'
  else:
    text = (
      f'With {who[0].lower()}{who[1:]}, {error} goes {change}, a change that cannot be told apart '
      'from chance'
    )
  if scored == 1:
    return f'{text}; one speaker says nothing about others.'
  gaining = int((headline.user_means < 0).sum())
  return f'{text}; {gaining} of {scored} speakers {"gains" if gaining == 1 else "gain"}.'


def _alone(scores: Scores, arm: str, missing: str) -> str:
  """The error of an arm that there is nothing to compare with."""
  mean = statistics.bootstrap(scores.values('mae', arm).table)
  return (
    f'The error (MAE) of {NAMES[arm]} is {interval(mean)}; there are {missing} to compare with.'
  )


def _clips(count: int) -> str:
  """'Five clips', at the start of a sentence."""
  number = _WORDS[count] if count < len(_WORDS) else str(count)
  return f'{number} clip{"" if count == 1 else "s"}'
