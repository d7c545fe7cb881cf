"""One user at a time: personalise from chosen clips, keep the predictor, predict with it."""

import contextlib
import dataclasses
import pathlib
import shutil
import urllib.parse
from typing import Iterator

import jax
import ml_collections
import numpy as np

from persona_jax import config as configuration, workdir as work
from persona_jax.arms import BASELINE
from persona_jax.data import corpus as data_corpus
from persona_jax.data.corpus import Corpus
from persona_jax.data.folds import Fold
from persona_jax.data.plan import Plan
from persona_jax.errors import UserError
from persona_jax.evaluation import maps, predict
from persona_jax.model.build import build
from persona_jax.reporting import records
from persona_jax.training import adapt, damage, items, pretrain
from persona_jax.training.pretrain import Pretrained
from persona_jax.types import Clips, Params

PERSONAL = 'personal'


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
  """A study seen from one held-out user."""

  def __init__(self, config: ml_collections.ConfigDict, workdir: pathlib.Path, corpus: Corpus, plan: Plan,
               fold: Fold, teacher: Pretrained):
    self._config, self._workdir, self._plan, self._teacher = config, workdir, plan, teacher
    self.corpus, self.fold = corpus, fold
    self._normaliser = pretrain.fold_inputs(corpus, plan, fold).normaliser
    self._shared = jax.device_put(pretrain.shared_corpus(corpus))

  @classmethod
  def open(cls, config: ml_collections.ConfigDict, workdir: pathlib.Path, user: str) -> 'UserSession':
    """Of the study in `workdir`.

    Raises:
      UserError: `user` is none of the study's, or not pre-trained yet.
    """
    configuration.validate(config)
    work.expect_config(workdir, config)
    corpus = data_corpus.load(config)
    work.expect_corpus(workdir, corpus)
    plan = Plan(corpus, config, work.batches_begun(workdir))
    fold = _fold_of(plan, user)
    like = pretrain.state_shapes(corpus, plan, config).params
    with _naming_damage('launch.study'):
      teacher = pretrain.load(workdir, fold, like)
    if teacher is None:
      raise UserError(f'{workdir}: no pre-trained predictor for user {user} '
                      f'({fold.name}); run launch.pretrain or launch.study there first.')
    return cls(config, workdir, corpus, plan, fold, teacher)

  def drawn_support(self, draw: int) -> list[str]:
    """The clips that the study's `draw` personalises on."""
    draws = self._plan.draws(self.fold)
    if not 0 <= draw < len(draws.support):
      raise UserError(f'draw {draw}: expected 0 to {len(draws.support) - 1} '
                      '(config.study.num_draws).')
    return [self.corpus.names[clip]
            for clip in self.fold.own[draws.support[draw][:self._config.study.num_support]]]

  def personalise(self, support: list[str], arm: str) -> None:
    """Fine-tunes on the clips named in `support`, and keeps the predictor in the workdir.

    Raises:
      UserError: a clip is not the user's, or none is left to score; a parameter is no longer finite.
    """
    indices = self._own_clips(support)
    params = self._personalised(indices, arm)
    with work.held(self._workdir):
      before = self._saved(arm)
      number = int(before[-1].name) + 1 if before else 0
      items.write(self._folder(arm) / str(number), params, dict(support=support))
      for folder in before:
        shutil.rmtree(folder)

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
    """Writes `attention.json` of the personalised predictor, for the next report, if it has any."""
    if self._attends():
      attention = self._attention(arm, *self._personal(arm))
      with work.held(self._workdir):
        records.write_json(self._workdir / records.ATTENTION, attention)

  def drawn_attention(self, arm: str) -> dict | None:
    """`attention.json` of the study's first draw; None where the base model has no such attention."""
    if not self._attends():
      return None
    indices = self._own_clips(self.drawn_support(0))
    return self._attention(arm, self._personalised(indices, arm), self._mask(indices))

  def _attends(self) -> bool:
    return maps.has_crossmodal(build(self._config.model), self._teacher.params,
                               self._clips(self.fold.own[:1]))

  def _attention(self, arm: str, params: Params, in_support: np.ndarray) -> dict:
    """What the audio and vision of the wordiest query clip attended to, before and after."""
    words = np.where(in_support, -1, self._shared.clips.masks['language'][self.fold.own].sum(axis=1))
    clip = self.fold.own[[words.argmax()]]
    models = dict(before=(build(self._config.model), self._teacher.params),
                  after=(self._personalising(arm).model, params))
    tables = {when: {modality: table.round(4).tolist() for modality, table
                     in maps.onto_language(*model, self._clips(clip)).items()}
              for when, model in models.items()}
    return dict(user=self.fold.user, arm=arm, clip=self.corpus.names[clip[0]], **tables)

  def _clips(self, indices: np.ndarray) -> Clips:
    return predict.gather(self._shared.clips, self._normaliser, indices)

  def _personalised(self, indices: np.ndarray, arm: str) -> Params:
    """The host's copy of the parameters, fine-tuned on these clips."""
    recipe = adapt.recipes(self._config.adapt)[arm]
    trial = adapt.Trials(indices, np.ones(len(indices), np.float32), np.float32(recipe.label_weight))
    params = jax.device_get(jax.jit(self._personalising(arm).personalise)(
        self._teacher.params, self._normaliser, self._shared, trial))
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
      raise UserError(f'{self.fold.name} ({self.fold.user}), arm {arm}: a parameter is not finite; '
                      '--debug_nans finds the operation.')
    return params

  def _personalising(self, arm: str) -> adapt.Personalising:
    return adapt.Personalising(self._config, adapt.recipes(self._config.adapt)[arm])

  def _personal(self, arm: str) -> tuple[Params, np.ndarray]:
    saved = self._saved(arm)
    if not saved:
      raise UserError(f'{self._workdir}: user {self.fold.user} has no {arm} predictor yet; run '
                      'launch.adapt first.')
    like = jax.eval_shape(self._personalising(arm).start, self._teacher.params)
    with _naming_damage('launch.adapt'):
      params, about = items.read(saved[-1], like)
    return params, self._mask(self._own_clips(about['support']))

  def _folder(self, arm: str) -> pathlib.Path:
    return (self._workdir / 'checkpoints' / PERSONAL /
            f'{urllib.parse.quote(self.fold.user, safe="")}-{arm}')

  def _saved(self, arm: str) -> list[pathlib.Path]:
    """The predictors kept of an arm, the newest last; there are two where a run was killed."""
    return sorted((path for path in self._folder(arm).glob('[0-9]*')), key=lambda path: int(path.name))

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


@contextlib.contextmanager
def _naming_damage(maker: str) -> Iterator[None]:
  """A reader's answer to damage: it moves nothing, and says who makes the thing again."""
  try:
    yield
  except damage.Damaged as error:
    raise UserError(f'a saved predictor is damaged ({error}); run {maker} again, which replaces '
                    'it.') from error


def _fold_of(plan: Plan, user: str) -> Fold:
  for fold in plan.folds:
    if fold.user == user:
      return fold
  raise UserError(f'user {user!r} is none of the study\'s; they are '
                  f'{", ".join(fold.user for fold in plan.folds)}.')
