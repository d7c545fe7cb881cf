"""A predictor that meets new people: it adapts from a few labelled clips, and predicts for them."""

import dataclasses
import functools
import pathlib
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from persona_jax.arms import BASELINE
from persona_jax.data.corpus import LABEL_RANGE
from persona_jax.errors import UserError
from persona_jax.model import predict
from persona_jax.model.build import build
from persona_jax.persona import arms, posterior, residual
from persona_jax.persona.arms import Known, Priors
from persona_jax.predictor import batches, card, fine_tuned, storage
from persona_jax.predictor.fine_tuned import FineTuned
from persona_jax.predictor.person import Person, identifier
from persona_jax.predictor.person import load as load_person
from persona_jax.training.fine_tune import FineTuner, Supports, recipes
from persona_jax.training.steps import Shared
from persona_jax.types import Array, Clips, Config, Normaliser, Params


class Scores(NamedTuple):
  """Predicted sentiment of n clips, -3 to 3.

  Attributes:
    mean: [n].
    low, high: [n] the central 90 % interval.
  """

  mean: np.ndarray
  low: np.ndarray
  high: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
  """Everything that a prediction depends on; made by `train` or `load`, and used without a corpus.

  Attributes:
    config: `model` and `adapt`, as in `persona_jax.config`.
    params: of the model.
    normaliser: of the features.
    priors: how people differ; None where that was not learned. Then nothing but fine-tuning
      adapts to people, and predictions have no intervals.
    widths: {modality: D_m}.
    facts: what it was trained on and how well it did, for people; plain JSON.
    identity: a hash of everything above, by which a person knows its predictor.
  """

  config: Config
  params: Params
  normaliser: Normaliser
  priors: Priors | None
  widths: Mapping[str, int]
  facts: Mapping[str, Any]

  @functools.cached_property
  def identity(self) -> str:
    return storage.identity(self.params, self._others())

  @functools.cached_property
  def _reader(self):
    return jax.jit(functools.partial(_read, build(self.config.model)))

  @functools.cached_property
  def _answer(self):
    return jax.jit(functools.partial(_answer, build(self.config.model)))

  @functools.cached_property
  def _programs(self) -> dict[str, Callable[..., Any]]:
    """{name: what is compiled}, so that a second call compiles nothing."""
    return {}

  def _program_of(self, arm: str) -> Callable[..., Any]:
    """The prediction of an arm's model."""
    if arm not in self._programs:
      if arm == BASELINE:
        model = build(self.config.model)
      else:
        model = FineTuner(self.config, recipes(self.config.adapt)[arm]).model
      self._programs[arm] = jax.jit(functools.partial(_predict, model))
    return self._programs[arm]

  def _tuner_of(self, arm: str) -> Callable[..., Any]:
    """The fine-tuning of an arm."""
    name = f'tune {arm}'
    if name not in self._programs:
      tuner = FineTuner(self.config, recipes(self.config.adapt)[arm])
      self._programs[name] = jax.jit(tuner.personalise)
    return self._programs[name]

  def save(self, folder: pathlib.Path | str) -> None:
    """Writes the predictor, and its model card as `README.md`; the folder must be new.

    Raises:
      UserError: the folder exists, or cannot be written.
    """
    described = self._others() | dict(facts=dict(self.facts))
    storage.write(
      pathlib.Path(folder), self.params, described, self.identity, card.text(self.facts)
    )

  def _others(self) -> dict[str, Any]:
    """What `identity` depends on besides the parameters, as plain JSON."""
    return dict(
      model=self.config.model.to_dict(),
      adapt=self.config.adapt.to_dict(),
      normaliser=storage.plain(self.normaliser),
      priors=storage.plain(self.priors),
      widths=dict(self.widths),
    )

  @property
  def fitted_priors(self) -> Priors:
    """`priors`, or a `UserError` where there are none."""
    if self.priors is None:
      raise UserError(
        'the predictor was not validated on speakers, so it did not learn how people differ; adapt '
        "with an arm that fine-tunes, or train with config.pretrain.validation='speakers'."
      )
    return self.priors

  def person(self, path: pathlib.Path | str) -> Person:
    """Loads a person whom this predictor adapted to.

    Raises:
      UserError: the file is no person, damaged, or of another predictor.
    """
    found = load_person(path)
    self._expect_own(found, f'{path}: ')
    return found

  def adapt(
    self,
    clips: Clips,
    labels: Sequence[float] | np.ndarray,
    user: Person | None = None,
    names: Sequence[str] | None = None,
    chosen: bool = False,
  ) -> Person:
    """Learns a person from labelled clips; nothing is trained.

    Args:
      clips: [n] of the person, features as they are in files.
      labels: [n] sentiment, -3 to 3.
      user: the person so far, whose clips are kept; None for a new person.
      names: [n] by which `Person.forget` knows the clips; None: they are known by their features.
      chosen: whether the clips were picked because of their labels, as people do who look for
        typical ones. Then nothing is learned from how many of them are positive.

    Raises:
      UserError: a clip or label cannot be used, or a clip is already known.
    """
    labels = self._expect_labels(clips, labels, names)
    count = len(labels)
    predictions, components = self.features(clips)
    known = names or [batches.content(clips, place) for place in range(count)]
    new = Person(
      self.identity,
      np.array([identifier(name) for name in known], np.uint64),
      labels,
      predictions,
      components,
      np.full(count, chosen),
    )
    if len(np.unique(new.clips)) < count:
      raise UserError('a clip is given twice; give every clip once.')
    return (user or self.nobody()).add(new)

  def fine_tune(
    self,
    clips: Clips,
    labels: Sequence[float] | np.ndarray,
    arm: str = 'fs_ua_kd',
    user: FineTuned | None = None,
  ) -> FineTuned:
    """Fine-tunes the model to a person: the parameters that change are the person.

    Args:
      clips: [n] of the person, features as they are in files.
      labels: [n] sentiment, -3 to 3.
      arm: one of `persona_jax.arms.FINE_TUNED`.
      user: the person so far, whose model goes on learning; None starts from the predictor.

    Raises:
      UserError: a clip or label cannot be used, or a parameter is not finite.
    """
    labels = self._expect_labels(clips, labels, None)
    recipe = recipes(self.config.adapt)[arm]
    if user is not None and (user.arm != arm or recipe.distilling):
      raise UserError(f'{arm} cannot continue from {user.arm}; give all clips and start anew.')
    params = self._params_of(user)
    count, size = len(labels), batches.bucket(len(labels))
    support = Supports(
      np.arange(size),
      (np.arange(size) < count).astype(np.float32),
      np.float32(recipe.label_weight),
    )
    shared = Shared(batches.padded(clips, size), np.pad(labels, (0, size - count)))
    learned = jax.device_get(
      self._tuner_of(arm)(params, self.normaliser, jax.device_put(shared), support)
    )
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(learned)):
      raise UserError(
        f'{arm}: a parameter is not finite; lower the learning rates of config.adapt.'
      )
    changed = fine_tuned.folded({group: learned[group] for group in recipe.trained})
    known = 0 if user is None else user.num_clips
    return FineTuned(self.identity, arm, known + count, changed)

  def _params_of(self, user: FineTuned | None) -> Params:
    """The parameters of a person's model; without a person those of the predictor."""
    if user is None:
      return self.params
    self._expect_own(user)
    recipe = recipes(self.config.adapt)[user.arm]
    whole = FineTuner(self.config, recipe).start(self.params)
    like = {group: whole[group] for group in recipe.trained}
    return whole | fine_tuned.unfolded(user.changed, like)

  def nobody(self) -> Person:
    """A person of whom no clip is known: predictions are only calibrated."""
    width = self.fitted_priors.residual.reading.directions.shape[1]
    empty = np.zeros(0, np.float32)
    return Person(
      self.identity,
      np.zeros(0, np.uint64),
      empty,
      empty,
      np.zeros((0, width), np.float32),
      np.zeros(0, bool),
    )

  def predict(self, clips: Clips, user: Person | FineTuned | None = None) -> Scores:
    """Predicts clips of one person.

    Args:
      clips: [n] of the person, features as they are in files.
      user: None for somebody unknown: the prediction is that of all people, calibrated. A
        fine-tuned person has no intervals, which are NaN.

    Raises:
      UserError: a clip cannot be used, or the person is of another predictor.
    """
    if isinstance(user, FineTuned):
      return self._plain(user.arm, self._params_of(user), clips)
    if user is None and self.priors is None:
      return self._plain(BASELINE, self.params, clips)
    return self.predict_mixed(clips, [user or self.nobody()], np.zeros(len(_first(clips)), int))

  def _plain(self, arm: str, params: Params, clips: Clips) -> Scores:
    """What the model of an arm says by itself, without intervals."""
    count = self._expect_clips(clips)
    program = self._program_of(arm)
    means = []
    for part in batches.parts(count):
      whole = batches.padded(clips.at(part), batches.bucket(len(part)))
      means.append(np.asarray(program(params, self.normaliser, whole))[: len(part)])
    unknown = np.full(count, np.nan, np.float32)
    return Scores(np.concatenate(means), unknown, unknown)

  def predict_mixed(
    self, clips: Clips, users: Sequence[Person], of_clip: Sequence[int] | np.ndarray
  ) -> Scores:
    """Predicts clips of many people in one program.

    Args:
      clips: [n] features as they are in files.
      users: the people.
      of_clip: [n] the place in `users` of each clip's person.

    Raises:
      UserError: as `predict`.
    """
    count, places = self._expect_clips(clips), np.asarray(of_clip, np.int32)
    if places.shape != (count,) or ((places < 0) | (places >= len(users))).any():
      raise UserError(f'of_clip: expected [{count}] places of 0 to {len(users) - 1}.')
    for user in users:
      self._expect_own(user)
    table = self._table(users)
    parts = [
      self._predict_part(clips.at(part), table, places[part]) for part in batches.parts(count)
    ]
    return Scores(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

  def _predict_part(self, clips: Clips, table: Known, places: np.ndarray) -> Scores:
    count = len(places)
    size = batches.bucket(count)
    sentiment = self._answer(
      self.params,
      self.normaliser,
      self.fitted_priors,
      batches.padded(clips, size),
      table,
      np.pad(places, (0, size - count)),
    )
    rows = (sentiment.mean, sentiment.lower, sentiment.upper)
    return Scores(*(np.asarray(row)[:count] for row in rows))

  def features(self, clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """What a person is learned from: predictions [n], and components [n, num_components].

    Raises:
      UserError: a clip cannot be used.
    """
    self._expect_clips(clips)
    predictions, read = self.read(clips)
    components = residual.components(self.fitted_priors.residual.reading, read)
    return predictions, np.asarray(components, np.float32)

  def read(self, clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Predictions [n] before any personalisation, and what the head reads [n, width]."""
    parts = []
    for part in batches.parts(len(_first(clips))):
      size = batches.bucket(len(part))
      found = self._reader(
        self.params,
        self.normaliser,
        batches.padded(clips.at(part), size),
      )
      parts.append([np.asarray(each)[: len(part)] for each in found])
    predictions, read = zip(*parts, strict=True)
    return np.concatenate(predictions), np.concatenate(read)

  @functools.cached_property
  def _posteriors(self) -> weakref.WeakKeyDictionary[Person, Known]:
    """The posteriors of people who were predicted for, as long as they are in use."""
    return weakref.WeakKeyDictionary()

  def _table(self, users: Sequence[Person]) -> Known:
    """The posteriors of people, padded to a power of two with the first."""
    new: dict[int, list[Person]] = {}
    for user in dict.fromkeys(users):
      if user not in self._posteriors:
        new.setdefault(batches.bucket(user.num_clips), []).append(user)
    for size, group in new.items():
      self._posteriors.update(zip(group, self._known(group, size), strict=True))
    known = [self._posteriors[user] for user in users]
    known += known[:1] * (batches.bucket(len(known)) - len(known))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *known)

  def _known(self, users: list[Person], size: int) -> list[Known]:
    """The posteriors of people with at most `size` clips, in one program."""
    filled = [*users, *users[:1] * (batches.bucket(len(users)) - len(users))]

    def padded(rows):
      return np.pad(rows, [(0, size - len(rows))] + [(0, 0)] * (rows.ndim - 1))

    rows = [
      np.stack([padded(getattr(user, name)) for user in filled])
      for name in ('predictions', 'components', 'labels', 'chosen')
    ]
    weights = np.arange(size) < np.array([[user.num_clips] for user in filled])
    known = jax.device_get(_known_of_many(self.fitted_priors, *rows, weights.astype(np.float32)))
    return _rows(known, len(users))

  def _expect_labels(
    self, clips: Clips, labels: Sequence[float] | np.ndarray, names: Sequence[str] | None
  ) -> np.ndarray:
    """Returns the labels [n], if there is one for each clip that can be used."""
    found, count = np.asarray(labels, np.float32), self._expect_clips(clips)
    if found.shape != (count,):
      raise UserError(f'labels of shape {list(found.shape)}: expected one per clip, [{count}].')
    for place, label in enumerate(found):
      if not abs(label) <= LABEL_RANGE:  # also where it is not a number
        raise UserError(f'clip {_named(names, place)}: label {label}, expected -3 to 3.')
    return found

  def _expect_own(self, user: Person | FineTuned, where: str = '') -> None:
    if user.predictor != self.identity:
      raise UserError(
        f'{where}the person was adapted with another predictor; adapt anew with this one.'
      )

  def _expect_clips(self, clips: Clips) -> int:
    """Returns the number of clips, if all have the predictor's modalities and widths."""
    counts = {len(x) for x in (*clips.sequences.values(), *clips.masks.values())}
    missing = set(self.widths) - (set(clips.sequences) & set(clips.masks))
    if missing:
      raise UserError(
        f'clips: no {sorted(missing)[0]}; where a clip lacks it, give a mask without a frame.'
      )
    for modality, width in self.widths.items():
      found, mask = (np.asarray(part[modality]) for part in clips)
      if found.ndim != 3 or found.shape[2] != width or mask.shape != found.shape[:2]:
        raise UserError(
          f'clips: {modality} of shape {list(found.shape)}, mask {list(mask.shape)}: expected '
          f'[clips, steps, {width}] and [clips, steps], as the predictor was trained on.'
        )
      if not np.isfinite(np.where(mask[..., None], found, 0)).all():
        raise UserError(f'clips: a value of {modality} is not finite.')
    if len(counts) != 1 or not min(counts):
      raise UserError(f'clips: expected the same number of clips, at least 1, found {counts}.')
    return counts.pop()


def load(folder: pathlib.Path | str) -> Predictor:
  """Loads a predictor that `Predictor.save` or `train` wrote; it needs no corpus.

  Raises:
    UserError: there is no predictor, it is damaged, or a newer version wrote it.
  """
  found = storage.read(pathlib.Path(folder))
  described = found.described
  predictor = Predictor(
    ml_collections.ConfigDict(dict(model=described['model'], adapt=described['adapt'])),
    found.params,
    storage.as_tree(described['normaliser'], Normaliser),
    storage.as_priors(described['priors']),
    described['widths'],
    described['facts'],
  )
  if predictor.identity != found.identity:
    raise UserError(f'{folder}: damaged (its identity differs); train it again.')
  return predictor


def _first(clips: Clips) -> np.ndarray:
  return np.asarray(next(iter(clips.sequences.values())))


def _named(names: Sequence[str] | None, place: int) -> str:
  return str(place) if names is None else repr(names[place])


def _rows(table: Known, count: int) -> list[Known]:
  """The first rows of a table."""
  return [jax.tree.map(lambda leaf, place=place: leaf[place], table) for place in range(count)]


def _read(model, params: Params, normaliser: Normaliser, clips: Clips) -> tuple[Array, Array]:
  return predict.predict_and_read(model, params, normaliser, clips, jnp.arange(len(_axis(clips))))


def _predict(model, params: Params, normaliser: Normaliser, clips: Clips) -> Array:
  return predict.predict(model, params, normaliser, clips, jnp.arange(len(_axis(clips))))


def _axis(clips: Clips) -> Array:
  return next(iter(clips.sequences.values()))


def _answer(
  model,
  params: Params,
  normaliser: Normaliser,
  priors: Priors,
  clips: Clips,
  table: Known,
  places: Array,
) -> posterior.Sentiment:
  """The sentiment of clips [n], each of the person at its place in the table."""
  predictions, read = predict.predict_and_read(
    model, params, normaliser, clips, jnp.arange(len(places))
  )

  def one(place, phi):
    known = jax.tree.map(lambda leaf: leaf[place], table)
    return arms.bayes(priors, known, phi[None])[0]

  phi = residual.features(priors.residual.reading, predictions, read)
  return posterior.summarised(jax.vmap(one)(places, phi))


@jax.jit
def _known_of_many(
  priors: Priors,
  predictions: Array,
  components: Array,
  labels: Array,
  chosen: Array,
  weights: Array,
) -> Known:
  """The posteriors of many people, from rows of which `weights` marks those that are clips.

  Args:
    priors: how people differ.
    predictions, labels, chosen, weights: [num_people, K].
    components: [num_people, K, num_components].
  """

  def one(predictions, components, labels, weights, chosen):
    person = arms.observe_components(predictions, components, labels, weights, chosen)
    return arms.known(priors, person)

  return jax.vmap(one)(predictions, components, labels, weights, chosen)
