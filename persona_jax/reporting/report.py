"""The report of a study: `report.md`, `report.html` and `figures/`, from its records alone."""

import functools
import itertools
import pathlib
from collections.abc import Callable, Sequence

from persona_jax import files
from persona_jax.reporting import (
  controls,
  differences,
  drawing,
  figures,
  gain_sources,
  model_figures,
  notes,
  opening,
  page,
  persona_figures,
  possible_gain,
  predictive_intervals,
  records,
  results,
  shots_curve,
  tables,
)
from persona_jax.reporting.document import Beside, Figures, Part, as_markdown
from persona_jax.reporting.drawing import Picture
from persona_jax.reporting.results import Results

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
  files.write_text(target / files.PAGE, page.page(title(loaded), parts, target))
  return markdown


def title(loaded: Results) -> str:
  """The report's, in plain text."""
  return (
    'Study of held-out groups of speakers' if loaded.is_grouped else 'Leave-one-speaker-out study'
  )


def document(loaded: Results, captions: dict[str, str]) -> list[Part]:
  """The report: the answer first, then what it rests on, then how it was made.

  Args:
    captions: {name: caption} of the figures that were drawn.
  """

  def some(*names: str) -> Figures:
    return Figures({name: captions[name] for name in names if name in captions})

  return [
    Beside('\n\n'.join(_opening(loaded)), some('speakers')),
    *_comparison(loaded, some),
    '## More figures',
    some(*FURTHER_FIGURES),
    *_missing(loaded, captions),
    *_per_user(loaded),
    '## Notes',
    '\n'.join(f'- {note}' for note in notes.notes(loaded)),
  ]


def _opening(loaded: Results) -> list[str]:
  arms = loaded.config['study'].get('arms', ())
  return [
    f'# {title(loaded)}',
    opening.answer(loaded.scores, loaded.comparisons, len(loaded.ranks), loaded.num_support),
    opening.study_size(loaded.scores, loaded.corpus, arms, tuple(loaded.ranks)),
  ]


def _per_user(loaded: Results) -> list[Part]:
  make = tables.of_grouped if loaded.is_grouped else tables.per_user
  return make(loaded.scores, loaded.ranks)


def _comparison(loaded: Results, some: Callable[..., Figures]) -> list[Part]:
  """What the arms' means and differences are; nothing before there are any."""
  if not loaded.scores.arms:
    return []
  return [
    *tables.table_3(loaded.scores, loaded.comparisons),
    *gain_sources.section(loaded.scores, some('sources')),
    *controls.section(loaded.scores, loaded.controls),
    *shots_curve.section(loaded.all_scores, loaded.curves, loaded.gains, some('shots', 'gains')),
    *differences.section(loaded.scores, loaded.comparisons),
    *predictive_intervals.section(loaded.scores, some('coverage')),
    *possible_gain.section(loaded.scores, loaded.corpus),
  ]


def pictures(loaded: Results) -> dict[str, Callable[[], Picture | None]]:
  """{name: what draws the figure, or nothing where there is no data for it}."""
  scores = loaded.scores
  gains = loaded.gains if loaded.is_grouped or loaded.has_personas else {}
  predictions = itertools.chain.from_iterable(map(records.read_predictions, loaded.sources))
  return {
    'speakers': functools.partial(figures.speakers, scores),
    'sources': functools.partial(persona_figures.sources, scores),
    'gains': functools.partial(persona_figures.gains, loaded.all_scores, gains),
    'coverage': functools.partial(persona_figures.coverage, scores),
    'draws': functools.partial(figures.draws, scores),
    'shots': functools.partial(figures.shots, loaded.all_scores, loaded.curves),
    'scatter': functools.partial(figures.scatter, predictions, scores, loaded.num_support),
    'attention': functools.partial(model_figures.attention, _attention(loaded.sources[0])),
    'learning': functools.partial(
      model_figures.learning,
      records.read_curves(loaded.sources),
      loaded.is_grouped,
      scores.target,
    ),
  }


def _attention(workdir: pathlib.Path) -> dict | None:
  """What the study left of the clip it looked at last, if it did."""
  path = workdir / files.ATTENTION
  return files.read_json(path) if path.exists() else None


def _missing(loaded: Results, names: dict[str, str]) -> list[str]:
  """Which figures there are none of yet, and how to get them."""
  no_pair = 'needs records of the baseline and of a personalised arm'
  reasons = {
    'speakers': no_pair,
    'draws': 'needs records',
    'scatter': no_pair,
    'shots': 'needs several numbers of support clips; `--config.study.shots` sets them',
    'attention': 'made at the end of a study with `--config.study.attention`, if its arms '
    'fine-tune a base model with crossmodal attention',
    'learning': 'needs a fold whose pre-training has ended',
  }
  if loaded.has_personas:
    reasons |= {
      'sources': 'needs records of the baseline, of a control (calibrated, label_mean or joint) '
      'and of an arm that goes further',
      'coverage': 'needs records of an arm that predicts intervals',
    }
  lines = [f'- {name}: {reason}.' for name, reason in reasons.items() if name not in names]
  return ['Not drawn:', '\n'.join(lines)] if lines else []
