"""One held-out user of a study: personalise from chosen clips, and predict."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from persona_jax import config as config_lib
from persona_jax.data import loading
from persona_jax.data.folds import Case, Fold
from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.model import predict
from persona_jax.model.build import build
from persona_jax.reporting.summaries import UserPredictions
from persona_jax.runtime import compiling, parallel
from persona_jax.study import workdir as workdir_lib
from persona_jax.training import damage, fine_tune, losses, pretrain
from persona_jax.training.fine_tune import FineTuner
from persona_jax.training.first_states import FirstStates
from persona_jax.training.pretrain import Pretrained
from persona_jax.types import Clips, Config, Params


@dataclasses.dataclass(frozen=True, eq=False)
class Adapted:
  """A personalised predictor.

  Attributes:
    arm: by which it was fine-tuned.
    params: on the host.
    support: [K] indices of the clips that it was fine-tuned on.
  """

  arm: str
  params: Params
  support: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class UserSession:
  """A study as seen by one held-out user.

  Attributes:
    case: the user and the fold.
    teacher: the fold's pre-trained predictor.
  """

  study: Study
  case: Case
  teacher: Pretrained
  _programs: dict[tuple[str, int], parallel.Program] = dataclasses.field(
    default_factory=dict, repr=False
  )

  @classmethod
  def open(cls, config: Config, workdir: pathlib.Path, user: str) -> 'UserSession':
    """Opens the study in `workdir` for one of its users; nothing is written.

    Raises:
      UserError: `user` is not in this study, or not pre-trained yet.
    """
    study = opened(config, workdir)
    case = _case_of(study, user)
    return cls(study, case, teacher_of(study, case.fold))

  def support_of_draw(self, draw: int) -> list[str]:
    """Returns the names of the clips that the study's `draw` personalises on."""
    draws, num_support = self.study.draws(self.case), self.study.config.study.num_support
    if not 0 <= draw < len(draws.support):
      raise UserError(
        f'draw {draw}: expected 0 to {len(draws.support) - 1} (config.study.num_draws).'
      )
    return [self.study.corpus.names[clip] for clip in draws.support[draw][:num_support]]

  def compile_ahead(self, support: Sequence[str], arm: str) -> None:
    """Begins to compile what `adapt` runs; of the teacher, shapes and types are enough."""
    indices = self._indices(support)
    self._program(arm, len(indices)).compile(*self._arguments(indices, arm), ahead=True)

  def adapt(self, support: Sequence[str], arm: str) -> Adapted:
    """Fine-tunes the teacher on the clips named in `support`.

    Raises:
      UserError: a clip is not the user's, or none is left to score; a parameter is not finite.
    """
    indices = self._indices(support)
    program = self._program(arm, len(indices))
    params = jax.device_get(program(*self._arguments(indices, arm)))
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
      raise UserError(
        f'{self.case.name} ({self.case.user.name}), arm {arm}: a parameter is not finite; '
        '--debug_nans finds the operation.'
      )
    return Adapted(arm, params, indices)

  def predict(self, adapted: Adapted | None = None) -> UserPredictions:
    """Predicts all of the user's clips, with the teacher or a personalised predictor."""
    model = self.fine_tuner(adapted.arm).model if adapted else build(self.study.config.model)
    clips, corpus = self.case.user.clips, self.study.corpus
    predictions = predict.at_once(
      functools.partial(predict.predict, model),
      adapted.params if adapted else self.teacher.params,
      corpus.clips,
      self._normaliser,
      clips,
      self.study.folds.buckets,
    )
    return UserPredictions(
      tuple(corpus.names[clip] for clip in clips),
      corpus.labels[clips],
      predictions,
      np.isin(clips, adapted.support if adapted else []),
    )

  def _program(self, arm: str, num_clips: int) -> parallel.Program:
    """The program that fine-tunes on so many clips, made once."""
    if (arm, num_clips) not in self._programs:
      longest = self.study.folds.buckets.longest
      seconds = fine_tune.seconds(self.study.config, num_clips, longest)
      self._programs[arm, num_clips] = parallel.Program(
        jax.jit(
          self.fine_tuner(arm).personalise, compiler_options=compiling.options_of_one_call(seconds)
        )
      )
    return self._programs[arm, num_clips]

  def _arguments(self, indices: np.ndarray, arm: str) -> tuple[Any, ...]:
    """What the program of a support set [K] takes."""
    return (
      self.teacher.params,
      self.gather(indices),
      self.study.corpus.labels[indices],
      np.ones(len(indices), np.float32),
      np.float32(fine_tune.recipes(self.study.config.adapt)[arm].label_weight),
    )

  def gather(self, indices: np.ndarray) -> Clips:
    """The clips at `indices`, standardised; host arrays."""
    longest = self.study.folds.buckets.longest
    return predict.gather(self.study.corpus.clips, self._normaliser, indices, longest)

  def fine_tuner(self, arm: str) -> FineTuner:
    config = self.study.config
    return FineTuner(config, fine_tune.recipes(config.adapt)[arm])

  @property
  def _normaliser(self):
    return self.study.normaliser(self.case.fold)

  def _indices(self, names: Sequence[str]) -> np.ndarray:
    """Indices [K] of a support set's clips; raises `UserError` unless they can be one."""
    index_of = {self.study.corpus.names[clip]: clip for clip in self.case.user.clips}
    for name in names:
      if name not in index_of:
        raise UserError(
          f'support clip {name!r} is no clip of user {self.case.user.name}; they are '
          f'{next(iter(index_of))} to {list(index_of)[-1]}.'
        )
    if not names or len(set(names)) != len(names) or len(names) >= len(index_of):
      raise UserError(
        f'support of {len(names)} clips: expected 1 to {len(index_of) - 1} different '
        f'clips of user {self.case.user.name}.'
      )
    return np.array([index_of[name] for name in names], np.int32)


def opened(config: Config, workdir: pathlib.Path) -> Study:
  """The study of a workdir, to read from; nothing is written.

  Raises:
    UserError: the config, the data or the folder are not as expected.
  """
  config_lib.validate(config)
  losses.distillation(config.adapt.distillation)
  workdir_lib.expect_config(workdir, config)
  study = Study.plan(config, loading.load(config), workdir, workdir_lib.existing_epochs(workdir))
  workdir_lib.expect_corpus(study)
  return study


def teacher_of(study: Study, fold: Fold) -> Pretrained:
  """The fold's teacher; a damaged one is left where it is.

  Raises:
    UserError: its pre-training has not ended, or it is damaged.
  """
  try:
    teacher = pretrain.load(study, fold, FirstStates(study).shapes().params)
  except damage.Damaged as error:
    raise UserError(
      f'a saved predictor is damaged ({error}); run launch.study again, which replaces it.'
    ) from error
  if teacher is None:
    raise UserError(
      f'{study.workdir}: no pre-trained predictor of {fold.name} ({fold.label}); run '
      'launch.pretrain or launch.study there first.'
    )
  return teacher


def _case_of(study: Study, user: str) -> Case:
  for case in study.folds.all_cases:
    if case.user.name == user:
      return case
  raise UserError(
    f'user {user!r} is not in this study; its users are '
    f'{", ".join(case.user.name for case in study.folds.all_cases)}.'
  )
