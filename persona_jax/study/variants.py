"""The shapes of fine-tuning programs: support sets are padded to as few as pay off."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from persona_jax.data import buckets


class Variant(NamedTuple):
  """What a support set is padded to.

  Attributes:
    shots: its clips, K.
    bucket: that holds its longest clip.
  """

  shots: int
  bucket: int

  def holds(self, other: 'Variant') -> bool:
    return self.shots >= other.shots and self.bucket >= other.bucket


def choose(counts: Mapping[Variant, int], seconds: Callable[[Variant], float]) -> list[Variant]:
  """The variants to compile: each saves more time than it takes to compile.

  Args:
    counts: how many support sets of the study need each variant.
    seconds: that one support set takes in a program of a variant.
  """

  def total(kept: Collection[Variant]) -> float:
    running = sum(
      count * seconds(holding(kept, needed, seconds)) for needed, count in counts.items()
    )
    return running + buckets.COMPILE_S * len(kept)

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
