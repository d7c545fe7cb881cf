"""What the folds of a study share, so that one program runs them all: sizes, buckets, batches."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from persona_jax.data import batching
from persona_jax.data import buckets as buckets_lib
from persona_jax.data.batching import Indices
from persona_jax.data.buckets import Buckets, Epochs
from persona_jax.data.corpus import Corpus
from persona_jax.data.folds import (
  BUCKETS,
  Case,
  Fold,
  assert_held_out,
  clips_needed,
  epoch_order,
  make_folds,
  split,
)
from persona_jax.errors import UserError
from persona_jax.types import Config


@dataclasses.dataclass(frozen=True, eq=False)
class FoldPlan:
  """The folds of a study, and the array sizes that they share so that one program runs them all.

  Sizes come from all folds, even when few are run, so that a fold run alone takes the same steps as
  in the whole study.

  Attributes:
    all: the folds of every held-out speaker or group, and seed, each for its first teacher.
    chosen: those that `config.study.folds` asks for.
    num_teachers: the predictors that are trained per fold.
    buckets: the lengths that clips are padded to.
    batches: training steps per epoch in each bucket.
    batch_size: the most clips of a training step.
    valid_sizes, held_out_sizes: per bucket, the most validation clips and held-out clips of a fold.
    user_sizes: per bucket, the most clips of a user.
    num_user_clips: the most clips of a user.
  """

  all: tuple[Fold, ...]
  chosen: tuple[Fold, ...]
  num_teachers: int
  buckets: Buckets
  batches: tuple[int, ...]
  batch_size: int
  valid_sizes: tuple[int, ...]
  held_out_sizes: tuple[int, ...]
  user_sizes: tuple[int, ...]
  num_user_clips: int

  @property
  def num_batches(self) -> int:
    """Training steps per epoch."""
    return sum(self.batches)

  @property
  def of_teachers(self) -> tuple[Fold, ...]:
    """The chosen folds once for each of their teachers, a fold's teachers side by side.

    All teachers of a fold learn from the same clips, so that a speaker whom one of them has not
    seen is new to all of them.
    """
    return self.of_all_teachers_of(self.chosen)

  def of_all_teachers_of(self, folds: Sequence[Fold]) -> tuple[Fold, ...]:
    """Folds, each of which is of its first teacher, once for each teacher."""
    numbers = range(self.num_teachers)
    return tuple(fold.of_teacher(number) for fold in folds for number in numbers)

  @property
  def cases_of_teachers(self) -> tuple[Case, ...]:
    """The users of the chosen folds once for each teacher, a user's teachers side by side."""
    return tuple(each for case in self.cases for each in self.of_all_teachers(case))

  def of_all_teachers(self, case: Case) -> tuple[Case, ...]:
    """The user of `case`, which is of the first teacher, with every teacher of the fold."""
    place = case.fold.users.index(case.user)
    numbers = range(self.num_teachers)
    return tuple(case.fold.of_teacher(number).cases[place] for number in numbers)

  @property
  def cases(self) -> tuple[Case, ...]:
    """The users of the chosen folds."""
    return tuple(case for fold in self.chosen for case in fold.cases)

  @property
  def all_cases(self) -> tuple[Case, ...]:
    """The users of all folds."""
    return tuple(case for fold in self.all for case in fold.cases)


def plan_folds(corpus: Corpus, config: Config, existing: Epochs | None = None) -> FoldPlan:
  """Plans the folds of `config.study`.

  Args:
    existing: the epochs of the study's existing teachers; None for a new study. When users are
      added to a study, its teachers are kept and the added ones take as many steps.

  Raises:
    UserError: the corpus has too few speakers, or a fold too few training clips.
  """
  study = config.study
  folds = make_folds(corpus, config)
  if not any(fold.users for fold in folds):
    raise UserError(
      f'no speaker has the {clips_needed(config)} clips that a user of a grouped study needs; '
      'lower config.study.num_support.'
    )
  first = study.first_user if study.protocol == 'leave_one_out' else 0
  chosen = tuple(fold for fold in folds if not study.folds or fold.rank - first in study.folds)
  return _plan(corpus, folds, chosen, config, existing)


def plan_everybody(corpus: Corpus, config: Config) -> FoldPlan:
  """Plans one fold that holds out nobody: a predictor for people who are not in the corpus.

  Raises:
    UserError: the corpus has too few clips or speakers.
  """
  train, valid = split(corpus, (), config.pretrain, config.seed, 0)
  nobody = np.array([], int)
  fold = Fold('everybody', 'everybody', 0, config.seed, 0, train, valid, nobody, ())
  assert_held_out(fold, corpus)
  return _plan(corpus, (fold,), (fold,), config, None)


def _plan(
  corpus: Corpus,
  folds: tuple[Fold, ...],
  chosen: tuple[Fold, ...],
  config: Config,
  existing: Epochs | None,
) -> FoldPlan:
  """The sizes that the folds share; errors as of `plan_folds`."""
  smallest = min(folds, key=lambda fold: len(fold.train))
  if not len(smallest.train):
    raise _too_few(smallest, 0, 1)
  least = min(folds, key=lambda fold: len(fold.valid))
  if not len(least.valid):
    advice = (
      f'lower config.pretrain.train_fraction = {config.pretrain.train_fraction:g}'
      if config.pretrain.validation == 'clips'
      else "give it more speakers, or set config.pretrain.validation='clips'"
    )
    raise UserError(f'the fold of {least.label} has no validation clip; {advice}.')
  buckets = _buckets(corpus, folds, config, existing)
  batches, batch_size = _batches(folds, buckets, config.pretrain.batch_size, existing)
  return FoldPlan(
    all=folds,
    chosen=chosen,
    num_teachers=config.study.teachers,
    buckets=buckets,
    batches=batches,
    batch_size=batch_size,
    valid_sizes=buckets.sizes(fold.valid for fold in folds),
    held_out_sizes=buckets.sizes(fold.held_out for fold in folds),
    user_sizes=buckets.sizes(user.clips for fold in folds for user in fold.users),
    num_user_clips=max((len(user.clips) for fold in folds for user in fold.users), default=0),
  )


def _buckets(
  corpus: Corpus, folds: Sequence[Fold], config: Config, existing: Epochs | None
) -> Buckets:
  """The buckets of the existing teachers; else as many as the config asks for, or as pay off.

  A bucket in which some fold has less than half a batch to learn from is joined to a longer one.
  """
  lengths = corpus.clips.lengths
  if existing:
    return buckets_lib.of_steps(lengths, existing.steps)
  wanted = 1  # the reference attends to padding, so its length matters
  if config.model.attention != 'reference':
    seen = sum(len(fold.train) for fold in folds) * config.study.teachers
    wanted = config.pretrain.num_buckets or buckets_lib.worthwhile(
      lengths, config.model, seen * config.pretrain.num_epochs
    )
  steps = buckets_lib.divide(lengths, wanted)
  while True:
    buckets = buckets_lib.of_steps(lengths, steps)
    thin = np.flatnonzero(_fewest(folds, buckets) < config.pretrain.batch_size / 2)
    if not len(thin) or len(steps) == 1:
      return buckets
    del steps[min(thin[0], len(steps) - 2)]


def _fewest(folds: Sequence[Fold], buckets: Buckets) -> np.ndarray:
  """The fewest training clips of a fold in each bucket."""
  return np.min([[len(each) for each in buckets.places(fold.train)] for fold in folds], axis=0)


def _batches(
  folds: Sequence[Fold], buckets: Buckets, batch_size: int, existing: Epochs | None
) -> tuple[tuple[int, ...], int]:
  """Training steps per epoch in each bucket, and the most clips of one."""
  fewest, most = _fewest(folds, buckets), buckets.sizes(fold.train for fold in folds)
  # No more batches than the smallest fold has clips: an empty batch has no mean loss.
  wanted = [
    min(batching.num_batches(clips, batch_size), int(least))
    for clips, least in zip(most, fewest, strict=True)
  ]
  batches = existing.batches if existing else tuple(wanted)
  for bucket, count in enumerate(batches):
    if not 0 < count <= fewest[bucket]:
      smallest = min(folds, key=lambda fold: len(buckets.places(fold.train)[bucket]))
      raise _too_few(smallest, int(fewest[bucket]), max(1, count))
  largest = max(
    batching.num_batches(clips, count) for clips, count in zip(most, batches, strict=True)
  )
  return batches, max(batch_size, largest)


def _too_few(fold: Fold, num_clips: int, num_batches: int) -> UserError:
  return UserError(
    f'the fold of {fold.label} has {num_clips} training clips, too few for {num_batches} batches '
    'per epoch; give it more speakers to learn from, or name another --workdir.'
  )


def bucket_order(plan: FoldPlan, epoch: int) -> np.ndarray:
  """Returns the bucket [num_batches] of every batch of one epoch, for all folds the same.

  Folds that share a program take their steps together, so the order depends on the epoch alone.
  """
  of_batch = np.repeat(np.arange(len(plan.batches)), plan.batches)
  return np.random.default_rng([BUCKETS, epoch]).permutation(of_batch)


def epoch_batches(plan: FoldPlan, fold: Fold, epoch: int) -> Indices:
  """Returns the batches [num_batches, B] of one epoch of a fold, in the order of `bucket_order`.

  Every clip is equally likely to come first or last; but clips of a batch are of one bucket.
  """
  order = epoch_order(fold, epoch)
  of_bucket = [
    batching.split(order[places], count, plan.batch_size)
    for places, count in zip(plan.buckets.places(order), plan.batches, strict=True)
  ]
  joined = Indices(*(np.concatenate(part) for part in zip(*of_bucket, strict=True)))
  turn = np.argsort(bucket_order(plan, epoch), kind='stable').argsort()
  return Indices(joined.clips[turn], joined.weights[turn])
