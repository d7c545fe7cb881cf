"""One user at a time: personalise from chosen clips, keep the predictor, predict with it."""

import dataclasses
import pathlib
import urllib.parse

import jax
import ml_collections
import numpy as np

from persona_jax import config as configuration, workdir as work
from persona_jax.arms import BASELINE
from persona_jax.data import corpus as data_corpus
from persona_jax.data.folds import Fold
from persona_jax.errors import UserError
from persona_jax.evaluation import maps, predict, study
from persona_jax.model.build import build
from persona_jax.reporting import records
from persona_jax.training import adapt, pretrain
from persona_jax.training.checkpoint import Checkpoints
from persona_jax.training.pretrain import Plan
from persona_jax.types import Params

STAGE = 'personal'
_STEP = 1


@dataclasses.dataclass(frozen=True)
class Prediction:
  """What a predictor says of a user's clips.

  Attributes:
    clips: [k] names.
    labels, predictions: [k] sentiment.
    in_support: [k] bool, the predictor was personalised on this clip.
  """

  clips: tuple[str, ...]
  labels: np.ndarray
  predictions: np.ndarray
  in_support: np.ndarray


class UserSession:
  """A study's workdir seen from one held-out user.

  Raises:
    UserError: from the constructor, when `user` is none of the study's, or not pre-trained yet.
  """

  def __init__(self, config: ml_collections.ConfigDict, workdir: pathlib.Path, user: str):
    self._config, self._workdir = config, workdir
    configuration.validate(config)
    work.expect_config(workdir, config)
    self.corpus = data_corpus.load(config)
    plan = Plan(self.corpus, config)
    work.expect_corpus(workdir, data_corpus.fingerprint(self.corpus))
    self.fold = _fold_of(plan, user)
    teacher = pretrain.load(self.corpus, plan, config, workdir, self.fold)
    if teacher is None:
      raise UserError(f'{workdir}: no pre-trained predictor for user {user} '
                      f'({self.fold.name}); run launch.pretrain or launch.study there first.')
    self._teacher = teacher
    self._normaliser = pretrain.fold_inputs(self.corpus, self.fold, plan.num_valid).normaliser
    self._shared = jax.device_put(pretrain.shared_corpus(self.corpus))

  def drawn_support(self, draw: int) -> list[str]:
    """The clips that the study's `draw` personalises on."""
    draws = study.draws_of(self.fold, self._config)
    if not 0 <= draw < len(draws.support):
      raise UserError(f'draw {draw}: expected 0 to {len(draws.support) - 1} '
                      '(config.study.num_draws).')
    return [self.corpus.names[clip]
            for clip in self.fold.own[draws.support[draw][:self._config.study.num_support]]]

  def personalise(self, support: list[str], arm: str) -> None:
    """Fine-tunes on the clips named in `support`, and keeps the predictor in the workdir.

    Raises:
      UserError: a clip is not the user's, or none is left to score.
    """
    indices = self._own_clips(support)
    recipe = adapt.recipes(self._config.adapt)[arm]
    trial = adapt.Trials(indices, np.ones(len(indices), np.float32), np.float32(recipe.label_weight))
    personalising = self._personalising(arm)
    params = jax.jit(personalising.personalise)(
        self._teacher.params, self._normaliser, self._shared, trial)
    with work.held(self._workdir), self._checkpoints(arm) as saved:
      saved.save(_STEP, {'params': jax.device_get(params), 'support': self._mask(indices)})

  def predict(self, arm: str) -> Prediction:
    """Predicts all the user's clips with the pre-trained (`baseline`) or a personalised predictor.

    Raises:
      UserError: the user was not personalised with this arm yet.
    """
    model, params = build(self._config.model), self._teacher.params
    in_support = self._mask(np.array([], int))
    if arm != BASELINE:
      model = self._personalising(arm).model
      params, in_support = self._personal(arm)
    own = self.fold.own
    predictions = jax.jit(lambda p: predict.predict(
        model, p, self._normaliser, self._shared.clips, own))(params)
    return Prediction(tuple(self.corpus.names[i] for i in own), self.corpus.labels[own],
                      np.asarray(predictions), in_support)

  def write_attention(self, arm: str) -> None:
    """Writes `attention.json`: what the wordiest query clip's audio and vision attended to.

    Before and after personalising, for the next report; nothing where the base model has no
    crossmodal attention.
    """
    params, in_support = self._personal(arm)
    words = np.where(in_support, -1, self._shared.clips.masks['language'][self.fold.own].sum(axis=1))
    clip = self.fold.own[[words.argmax()]]
    clips = predict.gather(self._shared.clips, self._normaliser, clip)
    before = maps.onto_language(build(self._config.model), self._teacher.params, clips)
    after = maps.onto_language(self._personalising(arm).model, params, clips)
    if before:
      with work.held(self._workdir):
        records.write_json(self._workdir / records.ATTENTION, dict(
            user=self.fold.user, arm=arm, clip=self.corpus.names[clip[0]],
            before={modality: table.round(4).tolist() for modality, table in before.items()},
            after={modality: table.round(4).tolist() for modality, table in after.items()}))

  def _personalising(self, arm: str) -> adapt.Personalising:
    return adapt.Personalising(self._config, adapt.recipes(self._config.adapt)[arm])

  def _personal(self, arm: str) -> tuple[Params, np.ndarray]:
    like = {'params': self._personalising(arm).start(self._teacher.params),
            'support': self._mask(np.array([], int))}
    with self._checkpoints(arm) as saved:
      tree = saved.load(_STEP, like) if _STEP in saved.steps() else None
    if tree is None:
      raise UserError(f'{self._workdir}: user {self.fold.user} has no {arm} predictor yet; run '
                      'launch.adapt first.')
    return tree['params'], tree['support']

  def _checkpoints(self, arm: str) -> Checkpoints:
    return Checkpoints(self._workdir, STAGE,
                       f'{urllib.parse.quote(self.fold.user, safe="")}-{arm}')

  def _mask(self, indices: np.ndarray) -> np.ndarray:
    return np.isin(self.fold.own, indices)

  def _own_clips(self, names: list[str]) -> np.ndarray:
    place = {self.corpus.names[clip]: clip for clip in self.fold.own}
    for name in names:
      if name not in place:
        raise UserError(f'support clip {name!r} is no clip of user {self.fold.user}; they are '
                        f'{next(iter(place))} to {list(place)[-1]}.')
    if not names or len(set(names)) != len(names) or len(names) >= len(place):
      raise UserError(f'support of {len(names)} clips: expected 1 to {len(place) - 1} different '
                      f'clips of user {self.fold.user}.')
    return np.array([place[name] for name in names], np.int32)


def _fold_of(plan: Plan, user: str) -> Fold:
  for fold in plan.folds:
    if fold.user == user:
      return fold
  raise UserError(f'user {user!r} is none of the study\'s; they are '
                  f'{", ".join(fold.user for fold in plan.folds)}.')
