"""The report of a study: `report.md`, `report.html` and `figures/`, from its records alone."""

import functools
import itertools
import pathlib
from collections.abc import Callable, Sequence

from persona_jax import files
from persona_jax.reporting import (
  differences,
  drawing,
  figures,
  model_figures,
  notes,
  opening,
  page,
  possible_gain,
  records,
  results,
  shots_curve,
  tables,
)
from persona_jax.reporting.document import Beside, Figures, Part, as_markdown
from persona_jax.reporting.drawing import Picture
from persona_jax.reporting.results import Results

TITLE = 'Leave-one-speaker-out study'
FURTHER_FIGURES = ('draws', 'scatter', 'attention', 'learning')


def write(sources: Sequence[pathlib.Path], target: pathlib.Path) -> str:
  """Reports the folds that `sources` hold, in `target`; returns the Markdown.

  Raises:
    UserError: as `results.load` does.
  """
  loaded = results.load(sources)
  parts = document(loaded, drawing.write(target, pictures(loaded)))
  markdown = as_markdown(parts)
  files.write_text(target / files.REPORT, markdown)
  files.write_text(target / files.PAGE, page.page(TITLE, parts, target))
  return markdown


def document(loaded: Results, captions: dict[str, str]) -> list[Part]:
  """The report: the answer first, then what it rests on, then how it was made.

  Args:
    captions: {name: caption} of the figures that were drawn.
  """

  def some(*names: str) -> Figures:
    return Figures({name: captions[name] for name in names if name in captions})

  return [
    Beside('\n\n'.join(_opening(loaded)), some('speakers')),
    *_comparison(loaded, some('shots')),
    '## More figures',
    some(*FURTHER_FIGURES),
    *_missing(captions),
    *tables.per_user(loaded.scores, loaded.ranks),
    '## Notes',
    '\n'.join(f'- {note}' for note in notes.notes(loaded)),
  ]


def _opening(loaded: Results) -> list[str]:
  arms = loaded.config['study'].get('arms', ())
  return [
    f'# {TITLE}',
    opening.answer(loaded.scores, loaded.comparisons, len(loaded.ranks), loaded.num_support),
    opening.study_size(loaded.scores, loaded.corpus, arms, tuple(loaded.ranks)),
  ]


def _comparison(loaded: Results, curve: Figures) -> list[Part]:
  """What the arms' means and differences are; nothing before there are any."""
  if not loaded.scores.arms:
    return []
  return [
    *tables.table_3(loaded.scores, loaded.comparisons),
    *shots_curve.section(loaded.all_scores, loaded.curves, curve),
    *differences.section(loaded.scores, loaded.comparisons),
    *possible_gain.section(loaded.scores, loaded.corpus),
  ]


def pictures(loaded: Results) -> dict[str, Callable[[], Picture | None]]:
  """{name: what draws the figure, or nothing where there is no data for it}."""
  scores = loaded.scores
  predictions = itertools.chain.from_iterable(map(records.read_predictions, loaded.sources))
  return {
    'speakers': functools.partial(figures.speakers, scores),
    'draws': functools.partial(figures.draws, scores),
    'shots': functools.partial(figures.shots, loaded.all_scores, loaded.curves),
    'scatter': functools.partial(figures.scatter, predictions, scores, loaded.num_support),
    'attention': functools.partial(model_figures.attention, _attention(loaded.sources[0])),
    'learning': functools.partial(model_figures.learning, records.read_curves(loaded.sources)),
  }


def _attention(workdir: pathlib.Path) -> dict | None:
  """What the study or `launch.adapt` left of the clip it looked at last, if it did."""
  path = workdir / files.ATTENTION
  return files.read_json(path) if path.exists() else None


def _missing(names: dict[str, str]) -> list[str]:
  """Which figures there are none of yet, and how to get them."""
  no_pair = 'needs records of the baseline and of a personalised arm'
  reasons = {
    'speakers': no_pair,
    'draws': 'needs records',
    'scatter': no_pair,
    'shots': 'needs several numbers of support clips; `--config.study.shots` sets them',
    'attention': 'made at the end of a study with `--config.study.attention`, if its arms '
    'fine-tune a base model with crossmodal attention; `launch.adapt` makes it for any user',
    'learning': 'needs a fold whose pre-training has ended',
  }
  lines = [f'- {name}: {reason}.' for name, reason in reasons.items() if name not in names]
  return ['Not drawn:', '\n'.join(lines)] if lines else []
