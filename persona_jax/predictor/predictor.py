"""A predictor that meets new people: it adapts from a few labelled clips, and predicts for them."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from persona_jax.arms import BASELINE
from persona_jax.errors import UserError
from persona_jax.persona import residual
from persona_jax.persona.arms import Priors
from persona_jax.predictor import batches, card, checks, fine_tuned, storage
from persona_jax.predictor.fine_tuned import FineTuned
from persona_jax.predictor.person import Person, identifier
from persona_jax.predictor.person import load as load_person
from persona_jax.predictor.posteriors import Posteriors
from persona_jax.predictor.programs import Programs
from persona_jax.training.fine_tune import FineTuner, recipes
from persona_jax.types import Clips, Config, Normaliser, Params


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
  def _programs(self) -> Programs:
    return Programs(self.config)

  @functools.cached_property
  def _posteriors(self) -> Posteriors:
    return Posteriors(self.fitted_priors)

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
  def steps(self) -> Mapping[str, int]:
    """{modality: T_m} of the longest sequences that it was trained on."""
    return self.facts['steps']

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

  def fine_tuned_person(self, path: pathlib.Path | str) -> FineTuned:
    """Loads a person whom this predictor was fine-tuned to; errors as of `person`."""
    found = fine_tuned.load(path)
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
    labels = checks.labels(labels, checks.num_clips(clips, self.widths), names)
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
    labels = checks.labels(labels, checks.num_clips(clips, self.widths), None)
    recipe = recipes(self.config.adapt)[arm]
    if user is not None and (user.arm != arm or recipe.distilling):
      raise UserError(f'{arm} cannot continue from {user.arm}; give all clips and start anew.')
    params = self.params_of(user)
    count, size = len(labels), batches.bucket(len(labels))
    learned = jax.device_get(
      self._programs.fine_tune(arm)(
        params,
        self.normaliser,
        self._padded(clips, size),
        np.pad(labels, (0, size - count)),
        (np.arange(size) < count).astype(np.float32),
        np.float32(recipe.label_weight),
      )
    )
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(learned)):
      raise UserError(
        f'{arm}: a parameter is not finite; lower the learning rates of config.adapt.'
      )
    changed = fine_tuned.folded({group: learned[group] for group in recipe.trained})
    known = 0 if user is None else user.num_clips
    return FineTuned(self.identity, arm, known + count, changed)

  def params_of(self, user: FineTuned | None) -> Params:
    """The parameters of a person's model; without a person those of the predictor.

    Raises:
      UserError: the person is of another predictor.
    """
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
      return self._plain(user.arm, self.params_of(user), clips)
    if user is None and self.priors is None:
      return self._plain(BASELINE, self.params, clips)
    count = checks.num_clips(clips, self.widths)
    return self.predict_mixed(clips, [user or self.nobody()], np.zeros(count, int))

  def _plain(self, arm: str, params: Params, clips: Clips) -> Scores:
    """What the model of an arm says by itself, without intervals."""
    count = checks.num_clips(clips, self.widths)
    program = self._programs.plain(arm)
    means = []
    for part in batches.parts(count):
      whole = self._padded(clips.at(part), batches.bucket(len(part)))
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
    count, places = checks.num_clips(clips, self.widths), np.asarray(of_clip, np.int32)
    if places.shape != (count,) or ((places < 0) | (places >= len(users))).any():
      raise UserError(f'of_clip: expected [{count}] places of 0 to {len(users) - 1}.')
    for user in users:
      self._expect_own(user)
    parts = [
      self._predict_part(clips.at(part), users, places[part]) for part in batches.parts(count)
    ]
    return Scores(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

  def _predict_part(self, clips: Clips, users: Sequence[Person], of_clip: np.ndarray) -> Scores:
    count = len(of_clip)
    size = batches.bucket(count)
    named, places = np.unique(of_clip, return_inverse=True)  # no more people than clips
    sentiment = self._programs.answer(
      self.params,
      self.normaliser,
      self.fitted_priors,
      self._padded(clips, size),
      self._posteriors.table([users[place] for place in named], size),
      np.pad(places, (0, size - count)),
    )
    rows = (sentiment.mean, sentiment.lower, sentiment.upper)
    return Scores(*(np.asarray(row)[:count] for row in rows))

  def features(self, clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """What a person is learned from: predictions [n], and components [n, num_components].

    Raises:
      UserError: a clip cannot be used.
    """
    predictions, read = self.read(clips)
    components = residual.components(self.fitted_priors.residual.reading, read)
    return predictions, np.asarray(components, np.float32)

  def read(self, clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Predictions [n] before any personalisation, and what the head reads [n, width]."""
    parts = []
    for part in batches.parts(checks.num_clips(clips, self.widths)):
      size = batches.bucket(len(part))
      found = self._programs.read(
        self.params,
        self.normaliser,
        self._padded(clips.at(part), size),
      )
      parts.append([np.asarray(each)[: len(part)] for each in found])
    predictions, read = zip(*parts, strict=True)
    return np.concatenate(predictions), np.concatenate(read)

  def _padded(self, clips: Clips, size: int) -> Clips:
    """Clips of the shape of a program; a model that attends to padding has one length alone."""
    if self.config.model.attention != 'reference':
      return batches.padded(clips, size, self.steps)
    checks.expect_no_longer(clips, self.steps)
    return batches.padded(clips, size, self.steps, least=1)

  def _expect_own(self, user: Person | FineTuned, where: str = '') -> None:
    if user.predictor != self.identity:
      raise UserError(
        f'{where}the person was adapted with another predictor; adapt anew with this one.'
      )


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
