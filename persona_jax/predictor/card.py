"""The model card of a predictor: what it was trained on, and what a new person may expect."""

from collections.abc import Mapping
from typing import Any

from persona_jax.reporting.markdown import literal, number, table

_OF = {
  'clips': 'of these speakers chose the epoch',
  'speakers': 'other speakers chose the epoch and taught how people differ',
}


def text(facts: Mapping[str, Any]) -> str:
  """The card, in Markdown.

  Args:
    facts: of `Predictor.facts`; what is missing is left out.
  """
  parts = [
    '# A predictor of sentiment',
    'It predicts the sentiment of a video clip, from -3 (strongly negative) to 3 (strongly '
    'positive), with a 90 % interval, from sequences of '
    f'{", ".join(facts.get("widths", {}))}. From a few labelled clips it adapts to a person; '
    'nothing is trained for that, and a person is stored as a few numbers per clip.',
  ]
  if trained := facts.get('trained_on'):
    parts.append(
      f'Trained on {trained["num_train"]} clips of {trained["train_speakers"]} speakers; '
      f'{trained["num_valid"]} clips of {trained["valid_speakers"]} {_OF[trained["validation"]]}, '
      f'with a mean absolute error of {number(trained["valid_mae"])} in epoch '
      f'{trained["best_epoch"]}.'
    )
  parts.append(_held_out(facts.get('held_out')))
  widths = [[literal(m), str(width)] for m, width in facts.get('widths', {}).items()]
  parts += ['## Features', table(['modality', 'width'], widths)]
  if packages := facts.get('packages'):
    versions = ', '.join(f'{literal(name)} {literal(v)}' for name, v in packages.items())
    parts.append(f'Made with {versions}.')
  return '\n\n'.join(parts) + '\n'


def _held_out(held_out: Mapping[str, Any] | None) -> str:
  if not held_out:
    return (
      'How well it does for people whom it was not trained on was not measured; a study of '
      'held-out groups does that.'
    )
  rows = [[literal(name), number(mae)] for name, mae in held_out['mae'].items()]
  return (
    f'For {held_out["num_speakers"]} held-out speakers, with {held_out["num_support"]} labelled '
    'clips of each, models like it had these mean absolute errors:\n\n' + table(['', 'MAE'], rows)
  )
