"""A study: its config, its corpus, its folds, and the folder that it lives in."""

import dataclasses
import pathlib

from persona_jax import config as config_lib
from persona_jax import files
from persona_jax.data import fold_plan, normalize
from persona_jax.data.buckets import Epochs
from persona_jax.data.corpus import Corpus
from persona_jax.data.draws import Draws, draw_supports
from persona_jax.data.fold_plan import FoldPlan
from persona_jax.data.folds import MIN_QUERY, Case, Fold
from persona_jax.types import Config, Normaliser


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
  """What every stage of a study works on. Nothing is read or written by making one.

  Attributes:
    config: the resolved settings.
    corpus: all clips, on the host.
    folds: the held-out speakers, and the sizes that their arrays share.
    workdir: the folder of its records and checkpoints.
  """

  config: Config
  corpus: Corpus
  folds: FoldPlan
  workdir: pathlib.Path
  _normalisers: dict[tuple[int, int], Normaliser] = dataclasses.field(
    default_factory=dict, init=False, repr=False
  )

  @classmethod
  def plan(
    cls,
    config: Config,
    corpus: Corpus,
    workdir: pathlib.Path,
    existing: Epochs | None = None,
  ) -> 'Study':
    """Plans the folds of `config` on a corpus; see `fold_plan.plan_folds`."""
    return cls(config, corpus, fold_plan.plan_folds(corpus, config, existing), workdir)

  def normaliser(self, fold: Fold) -> Normaliser:
    """The normaliser of the fold's training clips, fitted when first asked for."""
    key = fold.rank, fold.seed  # the teachers of a fold learn from the same clips
    if key not in self._normalisers:
      self._normalisers[key] = normalize.fit(self.corpus.clips, fold.train, self.config.normalise)
    return self._normalisers[key]

  @property
  def conditions(self) -> tuple[str, ...]:
    """How supports are picked: '' as the study asks, then its controls."""
    return ('', *self.config.study.controls)

  def shots(self, case: Case, control: str = '') -> tuple[int, ...]:
    """The numbers of support clips for a user, fewest first; one number in a control.

    With a group held out, users with few clips have the smaller numbers alone; with single speakers
    every user has all of them.
    """
    shots, study = config_lib.shots(self.config), self.config.study
    if control:
      return (study.num_support,)
    if study.protocol == 'leave_one_out':
      return shots
    most = len(case.user.clips) - MIN_QUERY
    return tuple(count for count in shots if count <= most)

  def draws(self, case: Case, control: str = '') -> Draws:
    """The user's random supports and queries; fewer shots take the first clips of each support.

    Args:
      case: the user.
      control: one of `conditions`.

    Raises:
      UserError: the user has too few clips.
    """
    picking = config_lib.picking(self.config, control)
    return draw_supports(self.corpus, case, picking, max(self.shots(case, control)))

  @property
  def checkpoints(self) -> pathlib.Path:
    """The folder of everything that Orbax saves."""
    return self.workdir / files.CHECKPOINTS

  def teacher_folder(self, fold: Fold) -> pathlib.Path:
    """Where the fold's finished teacher lies."""
    return self.checkpoints / files.TEACHERS / fold.name
