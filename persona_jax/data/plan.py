"""What the folds of a study must agree on to share programs."""

import ml_collections

from persona_jax import config as configuration
from persona_jax.data import batching, folds as data_folds
from persona_jax.data.corpus import Corpus
from persona_jax.data.folds import Draws, Fold
from persona_jax.errors import UserError


class Plan:
  """The folds of a study, and the common sizes of their arrays.

  Sizes come from all folds, even when few are run, so that a fold run alone takes the same steps as
  in the whole study.

  Attributes:
    folds: of every user and seed.
    chosen: those that `config.study.folds` asks for.
    num_valid, num_own: the most validation clips and clips of a user.
    num_batches: training steps per epoch.
    batch_size: the most clips of a training step.
    normalise: `config.normalise`, by which every fold fits its normaliser.
  """

  def __init__(self, corpus: Corpus, config: ml_collections.ConfigDict, num_batches: int | None = None):
    """Plans `config.study`.

    Args:
      num_batches: what the study was begun with, where users are added to one: its teachers stay as
        they are, and the added ones take equally many steps.

    Raises:
      UserError: the corpus has too few speakers, or a fold too few training clips.
    """
    self._study = study = config.study
    self.normalise = config.normalise
    self._shots = max(configuration.shots(config))
    self.folds = data_folds.make_folds(corpus, study.num_users, config.pretrain.train_fraction,
                                       configuration.seeds(config), study.first_user)
    self.chosen = [fold for fold in self.folds
                   if not study.folds or fold.rank - study.first_user in study.folds]
    self.num_valid = max(len(fold.valid) for fold in self.folds)
    self.num_own = max(len(fold.own) for fold in self.folds)
    smallest = min(self.folds, key=lambda fold: len(fold.train))
    most, fewest = max(len(fold.train) for fold in self.folds), len(smallest.train)
    # No more batches than the smallest fold has clips: an empty batch has no mean loss.
    self.num_batches = num_batches or min(
        batching.num_batches(most, config.pretrain.batch_size), fewest)
    if not 0 < self.num_batches <= fewest:
      raise UserError(f'the fold of user {smallest.user} has {fewest} training clips, too few for '
                      f'{max(1, self.num_batches)} batches per epoch; give it more speakers to learn from, or '
                      'name another --workdir.')
    self.batch_size = max(config.pretrain.batch_size, batching.num_batches(most, self.num_batches))

  def draws(self, fold: Fold) -> Draws:
    """The fold's random supports; fewer shots take the first clips of each."""
    return data_folds.draw_supports(fold, self._study.num_draws, self._shots, self._study.num_query)
