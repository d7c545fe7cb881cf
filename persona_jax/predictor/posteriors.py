"""The posteriors of people, computed once and gathered into a table for one program."""

import weakref
from collections.abc import Sequence

import jax
import numpy as np

from persona_jax.persona import arms
from persona_jax.persona.arms import Known, Priors
from persona_jax.predictor import batches
from persona_jax.predictor.person import Person
from persona_jax.types import Array


class Posteriors:
  """What predictions need of people; kept for as long as the people are in use."""

  def __init__(self, priors: Priors):
    self._priors = priors
    self._known: weakref.WeakKeyDictionary[Person, Known] = weakref.WeakKeyDictionary()

  def table(self, users: Sequence[Person], size: int) -> Known:
    """The posteriors of people, padded to `size` with the first."""
    new: dict[int, list[Person]] = {}
    for user in dict.fromkeys(users):
      if user not in self._known:
        new.setdefault(batches.bucket(user.num_clips), []).append(user)
    for num_clips, group in new.items():
      self._known.update(zip(group, self._computed(group, num_clips), strict=True))
    known = [self._known[user] for user in users]
    known += known[:1] * (size - len(known))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *known)

  def _computed(self, users: list[Person], size: int) -> list[Known]:
    """The posteriors of people with at most `size` clips, in one program."""
    filled = [*users, *users[:1] * (batches.bucket(len(users)) - len(users))]

    def padded(rows):
      return np.pad(rows, [(0, size - len(rows))] + [(0, 0)] * (rows.ndim - 1))

    rows = [
      np.stack([padded(getattr(user, name)) for user in filled])
      for name in ('predictions', 'components', 'labels', 'chosen')
    ]
    weights = np.arange(size) < np.array([[user.num_clips] for user in filled])
    table = jax.device_get(_known_of_many(self._priors, *rows, weights.astype(np.float32)))
    return [_row(table, place) for place in range(len(users))]


def _row(table: Known, place: int) -> Known:
  return jax.tree.map(lambda leaf: leaf[place], table)


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
