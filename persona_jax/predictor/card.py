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
  parts += _of_newcomers(facts)
  widths = [[literal(m), str(width)] for m, width in facts.get('widths', {}).items()]
  parts += ['## Features', table(['modality', 'width'], widths)]
  if packages := facts.get('packages'):
    versions = ', '.join(f'{literal(name)} {literal(v)}' for name, v in packages.items())
    parts.append(f'Made with {versions}.')
  return '\n\n'.join(parts) + '\n'


def _of_newcomers(facts: Mapping[str, Any]) -> list[str]:
  """What a person may expect on whom it was not trained: the scores that are known."""
  parts = []
  if held_out := facts.get('held_out'):
    parts += [f'For {_speakers(held_out)}, models like it had these errors:', _errors(held_out)]
  if validated := facts.get('validated'):
    parts += [
      f'For {_speakers(validated, "validation")}, it had these errors on their other clips:',
      _errors(validated),
      'Nothing of the model was trained on these speakers, and how people differ was learned for '
      'each of four groups of them from the others. But they chose the epoch, so expect a little '
      'more error.',
    ]
  if not held_out:
    how = (
      'a study of held-out groups measures it: run `launch.study` with the same config and its '
      'mode `grouped`, and name its workdir to `launch.train --study`.'
    )
    parts.append(
      f'How much more is unknown; {how}'
      if validated
      else f'How well it does for people whom it was not trained on is unknown; {how}'
    )
  return parts


def _speakers(measured: Mapping[str, Any], kind: str = 'held-out') -> str:
  return (
    f'{measured["num_speakers"]} {kind} speakers, with {measured["num_support"]} labelled clips of '
    'each'
  )


def _errors(measured: Mapping[str, Any]) -> str:
  rows = [[literal(name), number(mae)] for name, mae in measured['mae'].items()]
  return table(['', 'mean absolute error'], rows)
