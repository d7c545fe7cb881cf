"""Leave-one-speaker-out folds as index arrays, and the few-shot draws inside a fold."""

import dataclasses
from typing import Sequence

import numpy as np

from persona_jax.data.corpus import Corpus, users_by_clips
from persona_jax.errors import UserError

_SPLIT, _DRAW, _EPOCH = range(3)  # what a random stream is for


@dataclasses.dataclass(frozen=True)
class Fold:
  """One held-out speaker and one seed. All members but the first three are indices into the corpus.

  Attributes:
    rank: the user's place by number of clips, 0 first.
    user: the held-out speaker.
    seed: of the split, the initial parameters, the order of clips, dropout and the draws.
    train: [n] clips of other speakers, to learn from.
    valid: [m] clips of the same other speakers, to choose the epoch by.
    own: [k] the user's clips.
  """

  rank: int
  user: str
  seed: int
  train: np.ndarray
  valid: np.ndarray
  own: np.ndarray

  @property
  def name(self) -> str:
    """Names the fold's checkpoints."""
    return f'fold_{self.rank:02d}_seed_{self.seed}'


def make_folds(corpus: Corpus, num_users: int, train_fraction: float, seeds: Sequence[int],
               first_user: int = 0) -> tuple[Fold, ...]:
  """Folds for each of the `num_users` speakers with most clips (paper, section 5.1), one a seed.

  Args:
    first_user: how many speakers with still more clips to pass over. They then train like any
      other, so settings can be chosen on the speakers behind the study's users.

  Raises:
    UserError: the corpus has too few speakers.
  """
  users = users_by_clips(corpus)
  end = first_user + num_users
  if len(users) < max(end, num_users + 1):
    raise UserError(f'the corpus has {len(users)} speakers, too few for config.study.num_users = '
                    f'{num_users} from config.study.first_user = {first_user} on and somebody to '
                    'learn from; ask for fewer users.')
  speakers = np.array(corpus.speakers)
  folds = []
  for rank, (user, _) in list(enumerate(users))[first_user:end]:
    others = np.flatnonzero(speakers != user)
    for seed in seeds:
      shuffled = np.random.default_rng([seed, _SPLIT, rank]).permutation(others)
      cut = round(train_fraction * len(others))
      fold = Fold(rank, user, seed, np.sort(shuffled[:cut]), np.sort(shuffled[cut:]),
                  np.flatnonzero(speakers == user))
      assert_held_out(fold, corpus)
      folds.append(fold)
  return tuple(folds)


def assert_held_out(fold: Fold, corpus: Corpus) -> None:
  """Asserts that the parts are disjoint and no clip of the user trains or validates."""
  seen = {corpus.speakers[index] for index in np.concatenate([fold.train, fold.valid])}
  assert fold.user not in seen, f'{fold.user} leaks into the training of its own fold'
  parts = np.concatenate([fold.train, fold.valid, fold.own])
  assert len(np.unique(parts)) == len(parts) == len(corpus.names)


@dataclasses.dataclass(frozen=True)
class Draws:
  """Random few-shot trials of one user, as places in `Fold.own`.

  Attributes:
    support: [R, K] clips to personalise on, K the most shots; a trial of fewer takes the first ones.
    query: [R, Q] clips to score on, the same for every arm and shots, none of them in the support.
  """

  support: np.ndarray
  query: np.ndarray


def draw_supports(fold: Fold, num_draws: int, num_support: int, num_query: int | None) -> Draws:
  """Draws `num_draws` support sets; draw r depends on (seed, rank, r) alone.

  Args:
    num_query: how many query clips at most; None takes all the rest.

  Raises:
    UserError: the user has too few clips to leave a query clip.
  """
  if len(fold.own) <= num_support:
    raise UserError(f'user {fold.user} has {len(fold.own)} clips, too few for {num_support} support '
                    'clips and a query clip; lower config.study.num_support and config.study.shots, or '
                    'config.study.num_users.')
  orders = [np.random.default_rng([fold.seed, _DRAW, fold.rank, draw]).permutation(len(fold.own))
            for draw in range(num_draws)]
  end = None if num_query is None else num_support + num_query
  return Draws(support=np.array([order[:num_support] for order in orders]),
               query=np.array([np.sort(order[num_support:end]) for order in orders]))


def epoch_order(fold: Fold, epoch: int) -> np.ndarray:
  """[n] the training clips in the order of one epoch, from (seed, rank, epoch) alone."""
  return np.random.default_rng([fold.seed, _EPOCH, fold.rank, epoch]).permutation(fold.train)
