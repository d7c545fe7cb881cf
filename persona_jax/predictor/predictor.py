"""A predictor that meets new people: it adapts from a few labelled clips, and predicts for them."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from persona_jax.data.corpus import LABEL_RANGE
from persona_jax.errors import UserError
from persona_jax.model import predict
from persona_jax.model.build import build
from persona_jax.persona import arms, posterior, residual
from persona_jax.persona.arms import Known, Priors
from persona_jax.predictor import card, storage
from persona_jax.predictor.person import Person, identifier
from persona_jax.predictor.person import load as load_person
from persona_jax.types import Array, Clips, Config, Normaliser, Params

SMALLEST, LARGEST = 8, 1024  # clips of a program; other numbers are padded to a power of two


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
    config: `model`, as in `persona_jax.config`.
    params: of the model.
    normaliser: of the features.
    priors: how people differ.
    widths: {modality: D_m}.
    facts: what it was trained on and how well it did, for people; plain JSON.
    identity: a hash of everything above, by which a person knows its predictor.
  """

  config: Config
  params: Params
  normaliser: Normaliser
  priors: Priors
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
      model=storage.plain(self.config.model.to_dict()),
      normaliser=storage.plain(self.normaliser),
      priors=storage.plain(self.priors),
      widths=dict(self.widths),
    )

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
    labels = np.asarray(labels, np.float32)
    count = self._expect_clips(clips)
    if labels.shape != (count,):
      raise UserError(f'labels of shape {list(labels.shape)}: expected one per clip, [{count}].')
    for place, label in enumerate(labels):
      if not abs(label) <= LABEL_RANGE:  # also where it is not a number
        raise UserError(f'clip {_named(names, place)}: label {label}, expected -3 to 3.')
    predictions, read = self._read(clips)
    components = residual.components(self.priors.residual.reading, read)
    known = names if names is not None else [_content(clips, place) for place in range(count)]
    new = Person(
      self.identity,
      np.array([identifier(name) for name in known], np.uint64),
      labels,
      predictions,
      np.asarray(components, np.float32),
      np.full(count, chosen),
    )
    if len(np.unique(new.clips)) < count:
      raise UserError('a clip is given twice; give every clip once.')
    return (user or self.nobody()).add(new)

  def nobody(self) -> Person:
    """A person of whom no clip is known: predictions are only calibrated."""
    width = self.priors.residual.reading.directions.shape[1]
    empty = np.zeros(0, np.float32)
    return Person(
      self.identity,
      np.zeros(0, np.uint64),
      empty,
      empty,
      np.zeros((0, width), np.float32),
      np.zeros(0, bool),
    )

  def predict(self, clips: Clips, user: Person | None = None) -> Scores:
    """Predicts clips of one person.

    Args:
      clips: [n] of the person, features as they are in files.
      user: None for somebody unknown: the prediction is that of all people, calibrated.

    Raises:
      UserError: a clip cannot be used, or the person is of another predictor.
    """
    return self.predict_mixed(clips, [user or self.nobody()], np.zeros(len(_first(clips)), int))

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
    table = _stack([self._known(user) for user in users])
    parts = [self._predict_part(_take(clips, part), table, places[part]) for part in _parts(count)]
    return Scores(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

  def _predict_part(self, clips: Clips, table: Known, places: np.ndarray) -> Scores:
    count = len(places)
    size = _bucket(count)
    sentiment = self._answer(
      self.params,
      self.normaliser,
      self.priors,
      _padded(clips, size),
      table,
      np.pad(places, (0, size - count)),
    )
    rows = (sentiment.mean, sentiment.lower, sentiment.upper)
    return Scores(*(np.asarray(row)[:count] for row in rows))

  def _read(self, clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Predictions [n] before any personalisation, and what the head reads [n, width]."""
    parts = []
    for part in _parts(len(_first(clips))):
      size = _bucket(len(part))
      found = self._reader(
        self.params,
        self.normaliser,
        _padded(_take(clips, part), size),
      )
      parts.append([np.asarray(each)[: len(part)] for each in found])
    predictions, read = zip(*parts, strict=True)
    return np.concatenate(predictions), np.concatenate(read)

  def _known(self, user: Person) -> Known:
    """What a prediction needs of a person, of the rows padded to a power of two."""
    size = _bucket(user.num_clips)
    weights = (np.arange(size) < user.num_clips).astype(np.float32)

    def padded(rows):
      return np.pad(rows, [(0, size - len(rows))] + [(0, 0)] * (rows.ndim - 1))

    rows = (user.predictions, user.components, user.labels, user.chosen)
    return _posteriors(self.priors, *map(padded, rows), weights)

  def _expect_own(self, user: Person, where: str = '') -> None:
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
    ml_collections.ConfigDict(dict(model=described['model'])),
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


def _content(clips: Clips, place: int) -> bytes:
  """The valid frames of a clip, which stand for its name."""
  return b''.join(
    modality.encode()
    + np.asarray(x[place], np.float32)[np.asarray(clips.masks[modality][place])].tobytes()
    for modality, x in sorted(clips.sequences.items())
  )


def _bucket(count: int) -> int:
  """The next power of two, so that any batches compile a handful of programs."""
  return max(SMALLEST, 1 << (count - 1).bit_length()) if count else SMALLEST


def _parts(count: int) -> list[np.ndarray]:
  return [np.arange(start, min(start + LARGEST, count)) for start in range(0, count, LARGEST)]


def _take(clips: Clips, places: np.ndarray) -> Clips:
  return _mapped(clips, lambda x: x[places])


def _padded(clips: Clips, size: int) -> Clips:
  """Pads clips to `size`, and steps to a power of two; padding is masked."""

  def pad(x):
    steps = max(1, x.shape[1])
    more = (1 << (steps - 1).bit_length()) - x.shape[1]
    return np.pad(x, [(0, size - len(x)), (0, more)] + [(0, 0)] * (x.ndim - 2))

  return _mapped(clips, pad)


def _mapped(clips: Clips, function: Callable[[np.ndarray], np.ndarray]) -> Clips:
  """Clips with `function` of every sequence and mask."""
  sequences: dict[str, Array] = {m: function(np.asarray(x)) for m, x in clips.sequences.items()}
  masks: dict[str, Array] = {m: function(np.asarray(x)) for m, x in clips.masks.items()}
  return Clips(sequences, masks)


def _stack(known: Sequence[Known]) -> Known:
  """A table of people, padded to a power of two with the first."""
  size = _bucket(len(known))
  filled = [*known, *[known[0]] * (size - len(known))]
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *filled)


def _read(model, params: Params, normaliser: Normaliser, clips: Clips) -> tuple[Array, Array]:
  return predict.predict_and_read(model, params, normaliser, clips, jnp.arange(len(_axis(clips))))


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

  def one(place, prediction, seen):
    known = jax.tree.map(lambda leaf: leaf[place], table)
    return arms.bayes(priors, known, prediction[None], seen[None])[0]

  return posterior.summarised(jax.vmap(one)(places, predictions, read))


@jax.jit
def _posteriors(
  priors: Priors,
  predictions: Array,
  components: Array,
  labels: Array,
  chosen: Array,
  weights: Array,
) -> Known:
  """The posteriors of a person, from rows [K] of which `weights` marks those that are clips."""
  return arms.known(
    priors,
    arms.observe_components(predictions, components, labels, weights, chosen),
  )
