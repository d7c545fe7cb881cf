"""Leave-one-speaker-out folds as index arrays, the sizes they share, and their few-shot draws."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from persona_jax import config as config_lib
from persona_jax.data import batching
from persona_jax.data.corpus import Corpus, users_by_clips
from persona_jax.errors import UserError
from persona_jax.types import Config

_SPLIT, _DRAW, _EPOCH = range(3)  # what a random stream is for


@dataclasses.dataclass(frozen=True)
class Fold:
  """One held-out speaker and one seed. Clips are indices into the corpus.

  Attributes:
    rank: the user's place by number of clips, 0 for the most.
    user: the held-out speaker.
    seed: of the split, the initial parameters, the order of clips, dropout and the draws.
    train: [n] clips of the other speakers, to learn from.
    valid: [V] clips of the same other speakers, to choose the epoch by.
    user_clips: [n] clips of the user.
  """

  rank: int
  user: str
  seed: int
  train: np.ndarray
  valid: np.ndarray
  user_clips: np.ndarray

  @property
  def name(self) -> str:
    """Names the fold's checkpoints."""
    return f'fold_{self.rank:02d}_seed_{self.seed}'


def make_folds(
  corpus: Corpus, num_users: int, train_fraction: float, seeds: Sequence[int], first_user: int = 0
) -> tuple[Fold, ...]:
  """Makes one fold per seed for each of the `num_users` speakers with the most clips.

  Source: the paper, section 5.1.

  Args:
    first_user: how many speakers with still more clips to skip. They then train like any other
      speaker, so that settings can be chosen on speakers who are not the study's users.

  Raises:
    UserError: the corpus has too few speakers.
  """
  users = users_by_clips(corpus)
  end = first_user + num_users
  if len(users) < max(end, num_users + 1):
    raise UserError(
      f'the corpus has {len(users)} speakers, too few for config.study.num_users = '
      f'{num_users} from config.study.first_user = {first_user} on and somebody to '
      'learn from; ask for fewer users.'
    )
  speakers = np.array(corpus.speakers)
  folds = []
  for rank, (user, _) in list(enumerate(users))[first_user:end]:
    others = np.flatnonzero(speakers != user)
    for seed in seeds:
      shuffled = np.random.default_rng([seed, _SPLIT, rank]).permutation(others)
      cut = round(train_fraction * len(others))
      fold = Fold(
        rank,
        user,
        seed,
        np.sort(shuffled[:cut]),
        np.sort(shuffled[cut:]),
        np.flatnonzero(speakers == user),
      )
      assert_held_out(fold, corpus)
      folds.append(fold)
  return tuple(folds)


def assert_held_out(fold: Fold, corpus: Corpus) -> None:
  """Asserts that the parts are disjoint, and that no clip of the user trains or validates."""
  seen = {corpus.speakers[index] for index in np.concatenate([fold.train, fold.valid])}
  assert fold.user not in seen, f'{fold.user} leaks into the training of its own fold'
  parts = np.concatenate([fold.train, fold.valid, fold.user_clips])
  assert len(np.unique(parts)) == len(parts) == len(corpus.names)


@dataclasses.dataclass(frozen=True, eq=False)
class FoldPlan:
  """The folds of a study, and the array sizes that they share so that one program runs them all.

  Sizes come from all folds, even when few are run, so that a fold run alone takes the same steps as
  in the whole study.

  Attributes:
    all: the folds of every user and seed.
    chosen: those that `config.study.folds` asks for.
    num_batches: training steps per epoch.
    batch_size: the most clips of a training step.
    num_valid, num_user_clips: the most validation clips, and the most clips of a user.
  """

  all: tuple[Fold, ...]
  chosen: tuple[Fold, ...]
  num_batches: int
  batch_size: int
  num_valid: int
  num_user_clips: int


def plan_folds(corpus: Corpus, config: Config, num_batches: int | None = None) -> FoldPlan:
  """Plans the folds of `config.study`.

  Args:
    num_batches: the steps per epoch of the study's existing teachers; None for a new study. When
      users are added to a study, its teachers are kept and the added ones take as many steps.

  Raises:
    UserError: the corpus has too few speakers, or a fold too few training clips.
  """
  study, batch_size = config.study, config.pretrain.batch_size
  folds = make_folds(
    corpus,
    study.num_users,
    config.pretrain.train_fraction,
    config_lib.seeds(config),
    study.first_user,
  )
  smallest = min(folds, key=lambda fold: len(fold.train))
  most, fewest = max(len(fold.train) for fold in folds), len(smallest.train)
  # No more batches than the smallest fold has clips: an empty batch has no mean loss.
  num_batches = num_batches or min(batching.num_batches(most, batch_size), fewest)
  if not 0 < num_batches <= fewest:
    raise UserError(
      f'the fold of user {smallest.user} has {fewest} training clips, too few for '
      f'{max(1, num_batches)} batches per epoch; give it more speakers to learn from, or '
      'name another --workdir.'
    )
  least = min(folds, key=lambda fold: len(fold.valid))
  if not len(least.valid):
    raise UserError(
      f'the fold of user {least.user} has no validation clip; lower '
      f'config.pretrain.train_fraction = {config.pretrain.train_fraction:g}.'
    )
  return FoldPlan(
    all=folds,
    chosen=tuple(
      fold for fold in folds if not study.folds or fold.rank - study.first_user in study.folds
    ),
    num_batches=num_batches,
    batch_size=max(batch_size, batching.num_batches(most, num_batches)),
    num_valid=max(len(fold.valid) for fold in folds),
    num_user_clips=max(len(fold.user_clips) for fold in folds),
  )


@dataclasses.dataclass(frozen=True)
class Draws:
  """Random few-shot trials of one user, as places in `Fold.user_clips`.

  Attributes:
    support: [R, K] clips to personalise on. K is the largest number of shots; fewer shots take the
      first clips.
    query: [R, Q] clips to score on, the same for every arm and number of shots. None of them is in
      the support.
  """

  support: np.ndarray
  query: np.ndarray


def draw_supports(fold: Fold, num_draws: int, num_support: int, num_query: int | None) -> Draws:
  """Draws `num_draws` support sets; draw r depends on (seed, rank, r) alone.

  Args:
    num_query: the most query clips; None takes all that are left.

  Raises:
    UserError: the user has too few clips to leave a query clip.
  """
  if len(fold.user_clips) <= num_support:
    raise UserError(
      f'user {fold.user} has {len(fold.user_clips)} clips, too few for {num_support} support '
      'clips and a query clip; lower config.study.num_support and config.study.shots, or '
      'config.study.num_users.'
    )
  orders = [
    np.random.default_rng([fold.seed, _DRAW, fold.rank, draw]).permutation(len(fold.user_clips))
    for draw in range(num_draws)
  ]
  end = None if num_query is None else num_support + num_query
  return Draws(
    support=np.array([order[:num_support] for order in orders]),
    query=np.array([np.sort(order[num_support:end]) for order in orders]),
  )


def epoch_order(fold: Fold, epoch: int) -> np.ndarray:
  """Returns the training clips [n] in the order of one epoch.

  The order depends on (seed, rank, epoch) alone.
  """
  return np.random.default_rng([fold.seed, _EPOCH, fold.rank, epoch]).permutation(fold.train)
