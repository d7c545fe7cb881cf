"""What somebody needs to know to make the same again: the notes at a report's end."""

import collections
import pathlib
from collections.abc import Sequence

from persona_jax.reporting.markdown import literal
from persona_jax.reporting.scores import Scores
from persona_jax.types import MODALITIES

REPRODUCIBILITY = (
  'On the same machine, with the same versions and number of devices, the same command gives identical '
  'bytes. Another number of devices rounds otherwise: predictions of a short run move by some 1e-7, and '
  'training amplifies that. Another machine rounds otherwise too: expect single predictions to move '
  'by some 0.1, and means to stay within the intervals here (measured on the synthetic corpus, compiled '
  'for two kinds of CPU).'
)


def notes(environments: dict[pathlib.Path, dict], config: dict, scores: Scores) -> list[str]:
  """The sentences, in Markdown.

  Args:
    environments: {workdir: its `environment.json`}.
    config: `config.json`.
    scores: the records.
  """
  return [*_provenance(environments, scores), *_preprocessing(config), REPRODUCIBILITY]


def _provenance(environments: dict[pathlib.Path, dict], scores: Scores) -> list[str]:
  """Seeds, config, commit, versions and devices; of parts that were made differently, each."""
  made = collections.defaultdict(list)
  for workdir, environment in environments.items():
    made[_commit(environment), _made_with(environment)].append(literal(str(workdir)))
  seeds = ', '.join(str(seed) for (seed,) in scores.distinct('seed'))
  hashes = ', '.join(
    dict.fromkeys(
      literal(str(environment.get('config_hash', 'unknown')))  # since 0.2
      for environment in environments.values()
    )
  )
  if len(made) == 1:
    ((commit, made_with),) = made
    return [f'Seeds {seeds}; config {hashes}, commit {commit}.', f'Made with {made_with}.']
  return [
    f'Seeds {seeds}; config {hashes}.',
    *(
      f'{", ".join(workdirs)}: commit {commit}, made with {made_with}.'
      for (commit, made_with), workdirs in made.items()
    ),
  ]


def _commit(environment: dict) -> str:
  return literal(environment['commit'] or 'unknown')


def _made_with(environment: dict) -> str:
  versions = ', '.join(
    f'{literal(name)} {literal(version)}' for name, version in environment['packages'].items()
  )
  devices = ', '.join(
    f'{count} x {literal(kind)}'
    for kind, count in collections.Counter(environment['devices']).items()
  )
  return f'Python {literal(environment["python"])}, {versions}, on {devices}'


def _preprocessing(config: dict) -> list[str]:
  """How features were changed before the model saw them; nothing of workdirs that do not say."""
  used = config.get('model', {}).get('modalities', MODALITIES)
  return _normalised(config, used) + _averaged(config, used)


def _normalised(config: dict, used: Sequence[str]) -> list[str]:
  if 'normalise' not in config:
    return []
  settings = config['normalise']
  fitted = [modality for modality in used if modality in settings['modalities']]
  others = [modality for modality in used if modality not in fitted]
  if not fitted:
    return [f'Features of {_and(others)} enter the model as they are in the files.']
  text = (
    f'Every column of {_and(fitted)} is standardised over the training clips of its fold, scaled '
    f'to a standard deviation of {settings["deviation"]:g} and clipped at '
    f'{settings["limit"]:g} standard deviations'
  )
  unchanged = (
    f'; {_and(others)} {"is" if len(others) == 1 else "are"} unchanged.' if others else '.'
  )
  return [text + unchanged]


def _averaged(config: dict, used: Sequence[str]) -> list[str]:
  if 'frames_per_second' not in config.get('data', {}):
    return []
  rates = config['data']['frames_per_second']
  averaged = [
    f'{rates[modality]:g} a second ({modality})' for modality in used if rates.get(modality)
  ]
  others = [modality for modality in used if not rates.get(modality)]
  if not averaged:
    return [f'Frames of {_and(others)} are taken at the rate of the files.']
  return [
    f'Within each clip, frames that come faster are averaged to {_and(averaged)}'
    + (f'; frames of {_and(others)} are taken as they are.' if others else '.')
  ]


def _and(words: Sequence[str]) -> str:
  return ' and '.join([', '.join(words[:-1]), words[-1]] if len(words) > 1 else words)
