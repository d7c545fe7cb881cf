"""The report of a study: `report.md`, `report.html` and `figures/`, from its records alone."""

import functools
import itertools
import pathlib
from collections.abc import Callable, Sequence

from persona_jax import files
from persona_jax.reporting import drawing, figures, page, records, tables
from persona_jax.reporting.drawing import Picture
from persona_jax.reporting.merging import expect_parts_of_one_study
from persona_jax.reporting.notes import notes
from persona_jax.reporting.scores import Scores


def write(sources: Sequence[pathlib.Path], target: pathlib.Path) -> str:
  """Reports the folds that `sources` hold, in `target`; returns the Markdown.

  Raises:
    UserError: a file is missing or broken, one trial is in two workdirs, or the workdirs are of
      different studies.
  """
  expect_parts_of_one_study(sources)
  config, corpus = (files.read_json(sources[0] / name) for name in (files.CONFIG, files.CORPUS))
  environments = {source: files.read_json(source / files.ENVIRONMENT) for source in sources}
  scores, num_support = Scores.of(records.read(sources)), config['study']['num_support']
  text = tables.report(scores, corpus, notes(environments, config, scores), num_support)
  pictures = drawing.write(target, _pictures(sources, scores, num_support))
  text += '\n## Figures\n\n'
  missing = _missing(pictures)
  images = [f'![{caption}]({files.FIGURES}/{name}.svg)' for name, caption in pictures.items()]
  markdown = text + '\n\n'.join([*images, *missing]) + '\n'
  files.write_text(target / files.REPORT, markdown)
  files.write_text(target / files.PAGE, page.page(text, pictures, '\n\n'.join(missing), target))
  return markdown


def _pictures(
  sources: Sequence[pathlib.Path], scores: Scores, num_support: int
) -> dict[str, Callable[[], Picture | None]]:
  main = scores.only(num_support)
  predictions = itertools.chain.from_iterable(map(records.read_predictions, sources))
  return {
    'speakers': functools.partial(figures.dumbbell, main),
    'draws': functools.partial(figures.draws, main),
    'shots': functools.partial(figures.shots, scores),
    'scatter': functools.partial(figures.scatter, predictions, main, num_support),
    'attention': functools.partial(figures.attention, _attention(sources[0])),
    'learning': functools.partial(figures.learning, records.read_curves(sources)),
  }


def _missing(names: dict[str, str]) -> list[str]:
  """What there are no figures of yet, and how to get them."""
  reasons = {
    'speakers': 'no personalised arm beside the baseline yet',
    'scatter': 'no personalised arm beside the baseline yet',
    'shots': 'one number of support clips; `--config.study.shots` makes it a curve',
    'attention': 'made when a study with `--config.study.attention` ends whose arms fine-tune '
    "a base model with crossmodal attention; `launch.adapt` makes any user's",
    'learning': 'no stage of pre-training has ended yet',
  }
  lines = [f'- {name}: {reason}.' for name, reason in reasons.items() if name not in names]
  return ['Not drawn:\n\n' + '\n'.join(lines)] if lines else []


def _attention(workdir: pathlib.Path) -> dict | None:
  """What the study or `launch.adapt` left of the clip it looked at last, if it did."""
  path = workdir / files.ATTENTION
  return files.read_json(path) if path.exists() else None
