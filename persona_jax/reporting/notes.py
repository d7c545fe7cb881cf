"""The notes at a report's end: how to read its numbers, and how they were made."""

import collections
import pathlib
from collections.abc import Sequence

from persona_jax.reporting.explanations import MEAN_SHIFT_NOTE, P_NOTE, caveat, holm_note
from persona_jax.reporting.markdown import listed, literal
from persona_jax.reporting.results import Results
from persona_jax.reporting.scores import Scores
from persona_jax.types import MODALITIES

REPRODUCIBILITY = (
  'On the same machine, with the same versions and number of devices, the same command gives '
  'identical bytes. Another number of devices rounds differently: predictions of a short run '
  'change by about 1e-7, and training amplifies that. So does another machine: expect single '
  'predictions to change by about 0.1, and mean MAEs by less than the standard deviation between '
  'seeds (on the synthetic corpus, 0.04 for the baseline and 0.02 for personalised arms over five '
  'seeds; three kinds of CPU differed by at most 0.01 and 0.02), which is within these intervals.'
)

_BESIDE = {
  False: 'correspond to ours by rank only.',
  True: 'are means over its ten users, each held out alone, and not over the users here.',
}


def notes(loaded: Results) -> list[str]:
  """The sentences, in Markdown."""
  return [
    *_reading(loaded),
    *_provenance(loaded.environments, loaded.all_scores),
    *_groups(loaded),
    *_preprocessing(loaded.config),
    REPRODUCIBILITY,
    *map(literal, loaded.corpus['notes']),
  ]


def _reading(loaded: Results) -> list[str]:
  """How to read the tables."""
  compared = loaded.comparisons
  return [
    'Intervals come from a bootstrap over users, over seeds within each user, and over draws '
    'within each seed.',
    *([f'{P_NOTE} {holm_note(len(compared))}'] if compared else []),
    *([MEAN_SHIFT_NOTE] if caveat(loaded.all_scores) else []),
    *(_OF_EMOTIONS if loaded.scores.target.is_emotion else _of_sentiment(loaded)),
  ]


_OF_EMOTIONS = [
  'WAcc and F1 are of clips where the emotion is present (label above 0; prediction of 1/6 and '
  'more) against those where it is absent. WAcc is the mean of both recalls.'
]


def _of_sentiment(loaded: Results) -> list[str]:
  return [
    'F1 and Acc2 leave out clips labelled 0 (non0); `records.jsonl` also has the metrics that '
    'count them (has0).',
    "The paper's rows (CMU-MOSI with COVAREP, Facet and GloVe features; one draw, 30 query clips "
    f'per user, users unnamed) {_BESIDE[loaded.is_grouped]}',
  ]


def _groups(loaded: Results) -> list[str]:
  if not loaded.is_grouped:
    return []
  return [
    f'Speakers are held out in {loaded.config["study"]["num_groups"]} groups. The model that '
    'predicts for a user was trained on no speaker of the group.'
  ]


def _provenance(environments: dict[pathlib.Path, dict], scores: Scores) -> list[str]:
  """Seeds, config, commit, versions and devices; per workdir where these differ."""
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
  """How features were changed before the model saw them; nothing where the config lacks it."""
  used = config.get('model', {}).get('modalities', MODALITIES)
  return _normalised(config, used) + _averaged(config, used)


def _normalised(config: dict, used: Sequence[str]) -> list[str]:
  if 'normalise' not in config:
    return []
  settings = config['normalise']
  fitted = [modality for modality in used if modality in settings['modalities']]
  others = [modality for modality in used if modality not in fitted]
  if not fitted:
    return [f'Features of {listed(others)} enter the model as they are in the files.']
  text = (
    f'Every column of {listed(fitted)} is standardised over the training clips of its fold, scaled '
    f'to a standard deviation of {settings["deviation"]:g} and clipped at '
    f'{settings["limit"]:g} standard deviations'
  )
  unchanged = (
    f'; {listed(others)} {"is" if len(others) == 1 else "are"} unchanged.' if others else '.'
  )
  return [text + unchanged]


def _averaged(config: dict, used: Sequence[str]) -> list[str]:
  data = config.get('data', {})
  if 'frames_per_second' not in data or data.get('file'):  # a file of everything has no times
    return []
  rates = data['frames_per_second']
  averaged = [
    f'{rates[modality]:g} per second ({modality})' for modality in used if rates.get(modality)
  ]
  others = [modality for modality in used if not rates.get(modality)]
  if not averaged:
    return [f'Frames of {listed(others)} are taken at the rate of the files.']
  return [
    f'Within each clip, frames at a higher rate are averaged to {listed(averaged)}'
    + (f'; frames of {listed(others)} are taken as they are.' if others else '.')
  ]
