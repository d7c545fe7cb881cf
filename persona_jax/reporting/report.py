"""The report of a study: `report.md`, `report.html` and `figures/`, from its records alone."""

import collections
import functools
import pathlib
from typing import Sequence

from persona_jax.reporting import figures, page, records, tables

MARKDOWN, HTML = 'report.md', 'report.html'


def write(sources: Sequence[pathlib.Path], target: pathlib.Path) -> str:
  """Reports the folds that `sources` hold, in `target`; returns the Markdown.

  Raises:
    UserError: a file is missing or broken, or one trial is in two workdirs.
  """
  environment, config, corpus = (records.read_json(sources[0] / name) for name in (
      records.ENVIRONMENT, records.CONFIG, records.CORPUS))
  trials, predictions = records.read(sources), records.read_predictions(sources)
  num_support = config['study']['num_support']
  main = [trial for trial in trials if trial['num_support'] == num_support]
  names = figures.write(target, {
      'speakers': functools.partial(figures.dumbbell, main),
      'draws': functools.partial(figures.draws, main),
      'shots': functools.partial(figures.shots, trials),
      'scatter': functools.partial(figures.scatter, predictions, main, num_support),
      'attention': functools.partial(figures.attention, _attention(sources[0])),
      'learning': functools.partial(figures.learning, records.read_curves(sources))})
  text = tables.report(trials, corpus, _notes(environment, trials), num_support)
  pictures = [f'![{figures.CAPTIONS[name]}]({figures.FOLDER}/{name}.svg)' for name in names]
  text += '\n' + '\n\n'.join(['## Figures', *pictures, *_missing(names)]) + '\n'
  records.write_text(target / MARKDOWN, text)
  records.write_text(target / HTML, page.page(text, target))
  return text


def _missing(names: list[str]) -> list[str]:
  """What there are no figures of yet, and how to get them."""
  reasons = {'speakers': 'no personalised arm beside the baseline yet',
             'scatter': 'no personalised arm beside the baseline yet',
             'shots': 'one number of support clips; `--config.study.shots` makes it a curve',
             'attention': 'made when a study with `--config.study.attention` ends whose arms fine-tune '
                          'a base model with crossmodal attention; `launch.adapt` makes any user\'s',
             'learning': 'no stage of pre-training has ended yet'}
  lines = [f'- {name}: {reason}.' for name, reason in reasons.items() if name not in names]
  return ['Not drawn:\n\n' + '\n'.join(lines)] if lines else []


def _attention(workdir: pathlib.Path) -> dict | None:
  """What the study or `launch.adapt` left of the clip it looked at last, if it did."""
  path = workdir / records.ATTENTION
  return records.read_json(path) if path.exists() else None


def _notes(environment: dict, trials: list[dict]) -> list[str]:
  """What somebody needs to make the same again."""
  versions = ', '.join(f'{name} {version}' for name, version in environment['packages'].items())
  devices = ', '.join(f'{count} x {kind}' for kind, count
                      in collections.Counter(environment['devices']).items())
  seeds = ', '.join(str(seed) for seed in sorted({trial['seed'] for trial in trials}))
  return [f'Seeds {seeds}; config {environment.get("config_hash", "unknown")}, commit '  # since 0.2
          f'{environment["commit"] or "unknown"}.',
          f'Made with Python {environment["python"]}, {versions}, on {devices}.']
