"""Few-shot draws: which of a user's clips are personalised on, and which are scored."""

import dataclasses

import numpy as np

from persona_jax.data.corpus import Corpus
from persona_jax.data.folds import DRAW, OTHER, Case
from persona_jax.errors import UserError
from persona_jax.types import Config


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
  """Random few-shot trials of one user.

  Attributes:
    support: [R, K] clips to personalise on, as indices into the corpus. K is the largest number of
      shots; fewer shots take the first clips.
    query: [R, Q] clips to score on, as places in `User.clips`, the same for every arm and number of
      shots. None of them is in the support.
    one_sided: [R] bool, whether the support was chosen to have labels of one sign.
  """

  support: np.ndarray
  query: np.ndarray
  one_sided: np.ndarray


def draw_supports(corpus: Corpus, case: Case, config: Config, num_support: int) -> Draws:
  """Draws the support sets of `config.num_draws` trials; draw r depends on (seed, user, r) alone.

  By `config.support` clips are drawn at random, or 'one_sided': clips with positive labels in even
  draws, the others in odd draws, and at random where the user has too few of them. By
  `config.support_from` the support is the user's own, or that of 'other', a random other user of
  the fold; the query clips are the user's in any case.

  Args:
    config: `config.study`.

  Raises:
    UserError: the user has too few clips to leave a query clip.
  """
  user, seed = case.user, case.fold.seed
  count = len(user.clips)
  if count <= num_support:
    raise UserError(
      f'user {user.name} has {count} clips, too few for {num_support} support '
      'clips and a query clip; lower config.study.num_support and config.study.shots, or '
      'config.study.num_users.'
    )
  end = None if config.num_query is None else num_support + config.num_query
  supports, queries, sides = [], [], []
  for draw in range(config.num_draws):
    order = np.random.default_rng([seed, DRAW, user.rank, draw]).permutation(count)
    one_sided = False
    if config.support == 'one_sided':
      order, one_sided = _one_sided(order, corpus.labels[user.clips], num_support, draw)
    support = user.clips[order[:num_support]]
    if config.support_from == 'other':
      support = _of_another(case, draw, num_support)
    supports.append(support)
    queries.append(np.sort(order[num_support:end]))
    sides.append(one_sided)
  return Draws(np.array(supports), np.array(queries), np.array(sides))


def _one_sided(
  order: np.ndarray, labels: np.ndarray, num_support: int, draw: int
) -> tuple[np.ndarray, bool]:
  """Moves clips of one sign to the front of a random order, if there are enough of them."""
  of_side = (labels[order] > 0) == (draw % 2 == 0)
  if of_side.sum() < num_support:
    return order, False
  return np.concatenate([order[of_side], order[~of_side]]), True


def _of_another(case: Case, draw: int, num_support: int) -> np.ndarray:
  """Clips [K] of a random other user of the fold."""
  random = np.random.default_rng([case.fold.seed, OTHER, case.user.rank, draw])
  others = [
    user
    for user in case.fold.users
    if user.rank != case.user.rank and len(user.clips) >= num_support
  ]
  if not others:
    raise UserError(
      f'user {case.user.name} is alone in {case.fold.name}, so that config.study.support_from = '
      "'other' finds nobody; lower config.study.num_groups or config.study.shots."
    )
  other = others[random.integers(len(others))]
  return random.choice(other.clips, num_support, replace=False)
