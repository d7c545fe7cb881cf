"""The programs of a study's second stage, and what names their results."""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jax.sharding import Mesh

from persona_jax.data.buckets import Steps
from persona_jax.runtime import parallel
from persona_jax.study.variants import Variant
from persona_jax.training.fine_tune import FineTuner, Recipe, Supports, fine_tune_and_predict
from persona_jax.types import Config


class Cell(NamedTuple):
  """An arm, the number of clips that it personalises on, and the control, if it is of one."""

  arm: str
  shots: int
  control: str = ''

  @property
  def name(self) -> str:
    """Names the cell's predictions in a checkpoint."""
    return f'{self.arm}-{self.shots}' + (f'-{self.control}' if self.control else '')

  @classmethod
  def named(cls, name: str) -> 'Cell':
    """The cell of this name."""
    arm, shots, *control = name.split('-')
    return cls(arm, int(shots), *control)


Trial = tuple[Cell, int]  # a cell and a draw


class Program:
  """The arms that share their programs: they differ only in lambda."""

  def __init__(
    self,
    name: str,
    arms: dict[str, Recipe],
    config: Config,
    steps: Sequence[Steps],
    support_steps: Sequence[Steps],
  ):
    """`steps` and `support_steps` are what a user's clips and support clips may be padded to."""
    self.name, self.arms = name, arms
    self._steps, self._support_steps = steps, support_steps
    self._fine_tuner = FineTuner(config, next(iter(arms.values())))
    self._compiled: dict[tuple[int, ...], parallel.Program] = {}

  def of(self, variant: Variant, length: int, vmapped: int, mesh: Mesh) -> parallel.Program:
    """`fine_tune_and_predict` of a group of users.

    Args:
      length: the support sets of each user.
      vmapped: how many of them are batched into one.
    """
    key = *variant, length, vmapped
    if key not in self._compiled:
      self._compiled[key] = parallel.over_folds(
        functools.partial(
          fine_tune_and_predict,
          self._fine_tuner,
          self._support_steps[variant.bucket],
          self._steps,
          vmapped,
        ),
        mesh,
      )
    return self._compiled[key]

  def supports(
    self, drawn: Mapping[str, np.ndarray], todo: Sequence[Trial], shots: int, length: int
  ) -> Supports:
    """The support sets of some cells and draws, the first repeated up to `length`.

    Args:
      drawn: {control: [R, K] clips}.
      todo: cells and draws; if it is empty, anything is returned.
      shots: that support sets are padded to.
      length: of the result.
    """
    supports = [
      Supports(
        _padded(drawn[cell.control][draw][: cell.shots], shots),
        (np.arange(shots) < cell.shots).astype(np.float32),
        np.float32(self.arms[cell.arm].label_weight),
      )
      for cell, draw in todo or [_any_trial(drawn, self.arms)]
    ]
    return parallel.stack(supports, length)


def _padded(clips: np.ndarray, shots: int) -> np.ndarray:
  """Support clips [n] with the first repeated up to [shots]."""
  clips = clips.astype(np.int32)
  return np.concatenate([clips, np.repeat(clips[:1], shots - len(clips))])


def _any_trial(drawn: Mapping[str, np.ndarray], arms: Mapping[str, Recipe]) -> Trial:
  return Cell(next(iter(arms)), 1, next(iter(drawn))), 0
