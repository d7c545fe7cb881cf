"""The shapes of fine-tuning programs: support sets are padded to as few as pay off."""

import functools
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np

from persona_jax.data import buckets
from persona_jax.data.buckets import Buckets
from persona_jax.types import Array

_LENGTHS = 8  # lengths to choose from


class Variant(NamedTuple):
  """What a support set is padded to.

  Attributes:
    shots: its clips, K.
    bucket: of `lengths`, that holds its longest clip.
  """

  shots: int
  bucket: int

  def holds(self, other: 'Variant') -> bool:
    return self.shots >= other.shots and self.bucket >= other.bucket


def lengths(of_clips: Mapping[str, Array], supports: Collection[np.ndarray]) -> Buckets:
  """The lengths that support sets may be padded to; `choose` finds those that pay off.

  A set is as long as its longest clip, so sets differ less in length than clips do.

  Args:
    of_clips: {modality: [N]} steps of all clips.
    supports: the clips [K] of every support set.
  """
  of_supports = {
    m: np.array([each[clips].max() for clips in supports]) for m, each in of_clips.items()
  }
  return buckets.of_steps(
    of_clips,
    [
      *buckets.divide(of_supports, _LENGTHS),
      {m: max(1, int(np.max(each))) for m, each in of_clips.items()},
    ],
  )


def choose(
  counts: Mapping[Variant, int], seconds: Callable[[Variant], float], padding: float = 0
) -> list[Variant]:
  """The variants to compile: each saves more time than it takes to compile.

  Args:
    counts: how many support sets of the study need each variant.
    seconds: that one support set takes in a program of a variant.
    padding: support sets that are computed in vain for every variant, to fill calls.
  """

  seconds = functools.cache(seconds)  # asked again and again

  def total(kept: Collection[Variant]) -> float:
    running = sum(
      count * seconds(holding(kept, needed, seconds)) for needed, count in counts.items()
    )
    return running + sum(padding * seconds(variant) + buckets.COMPILE_S for variant in kept)

  kept = [Variant(max(v.shots for v in counts), max(v.bucket for v in counts))]
  while others := [variant for variant in counts if variant not in kept]:
    best = min(others, key=lambda variant: total([*kept, variant]))
    if total([*kept, best]) >= total(kept):
      break
    kept.append(best)
  return kept


def holding(
  kept: Collection[Variant], needed: Variant, seconds: Callable[[Variant], float]
) -> Variant:
  """The fastest of the variants that hold a support set; one of them does."""
  return min((variant for variant in kept if variant.holds(needed)), key=seconds)
