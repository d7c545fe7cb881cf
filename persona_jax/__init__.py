"""Personalised multimodal sentiment: MulT with a User Adapter, few-shot and distilled, in JAX.

The doors for Python users; everything else is imported from the folder it lives in.

  config.paper, config.csd_data   the paper's settings, and those of a corpus in .csd files
  load_corpus                     from settings to the clips, speakers and labels of a corpus
  run_study                       the leave-one-speaker-out study: pre-train, personalise, report
  train, load                     a predictor for new people, trained and saved, or loaded
  UserSession                     one held-out user of a study: personalise, predict
  build_model                     the predictor as a Flax module
  load_torch_mult                 weights of the public PyTorch MulT, run by this package
  evaluate                        the metrics of a set of predictions
  UserError                       what is raised for bad input, with one sentence to show

Importing this package imports neither JAX nor data; a door does when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from persona_jax import config
  from persona_jax.data.loading import load as load_corpus
  from persona_jax.errors import UserError
  from persona_jax.evaluation.metrics import evaluate
  from persona_jax.model.build import build as build_model
  from persona_jax.model.interop import load_torch_mult
  from persona_jax.predictor.predictor import load
  from persona_jax.predictor.training import train
  from persona_jax.study.leave_one_speaker_out import run as run_study
  from persona_jax.study.user_session import UserSession

_DOORS = {
  'UserError': ('persona_jax.errors', 'UserError'),
  'UserSession': ('persona_jax.study.user_session', 'UserSession'),
  'build_model': ('persona_jax.model.build', 'build'),
  'config': ('persona_jax.config', None),
  'evaluate': ('persona_jax.evaluation.metrics', 'evaluate'),
  'load': ('persona_jax.predictor.predictor', 'load'),
  'load_corpus': ('persona_jax.data.loading', 'load'),
  'load_torch_mult': ('persona_jax.model.interop', 'load_torch_mult'),
  'train': ('persona_jax.predictor.training', 'train'),
  'run_study': ('persona_jax.study.leave_one_speaker_out', 'run'),
}

__all__ = [
  'UserError',
  'UserSession',
  'build_model',
  'config',
  'evaluate',
  'load',
  'load_corpus',
  'load_torch_mult',
  'run_study',
  'train',
]


def __getattr__(name: str) -> Any:
  """Imports a door when it is first used."""
  if name not in _DOORS:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  module, attribute = _DOORS[name]
  found = importlib.import_module(module)
  return found if attribute is None else getattr(found, attribute)


def __dir__() -> list[str]:
  return sorted([*globals(), *__all__])
