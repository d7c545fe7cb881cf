"""Short Markdown for the single stages: the data, the pre-training, one user before and after."""

import dataclasses
import io
from collections.abc import Sequence

import numpy as np

from persona_jax.data.corpus import Corpus, users_by_clips
from persona_jax.data.folds import Fold
from persona_jax.evaluation import metrics
from persona_jax.files import CsvWriter
from persona_jax.reporting.markdown import literal, number, table
from persona_jax.reporting.tables import COLUMNS
from persona_jax.targets import SENTIMENT


@dataclasses.dataclass(frozen=True)
class UserPredictions:
  """What a predictor predicts for one user's clips.

  Attributes:
    clips: [n] names.
    labels, predictions: [n] sentiment.
    in_support: [n] bool, whether the predictor was personalised on the clip.
  """

  clips: tuple[str, ...]
  labels: np.ndarray
  predictions: np.ndarray
  in_support: np.ndarray


def corpus(loaded: Corpus, first_user: int, num_users: int, name: str = SENTIMENT.name) -> str:
  """What a corpus holds, and every note from loading it; `name` is that of the target."""
  rows = []
  for modality, sequence in loaded.clips.sequences.items():
    lengths = loaded.clips.masks[modality].sum(axis=1)
    sampling = loaded.sampling.get(modality)
    rates = (
      [_rate(sampling.file_rate), _rate(sampling.rate), str(sampling.num_cut)] if sampling else []
    )
    rows.append(
      [
        modality,
        str(sequence.shape[-1]),
        str(lengths.min()),
        f'{np.median(lengths):g}',
        str(lengths.max()),
        str((lengths == 0).sum()),
        *rates,
      ]
    )
  header = ['modality', 'width', 'fewest steps', 'median', 'most', 'clips without']
  if loaded.sampling:
    header += ['frames/s in the file', 'frames/s used', 'clips cut']
  users = users_by_clips(loaded)
  labels = loaded.labels
  return (
    '\n\n'.join(
      [
        '# Corpus',
        f'{len(loaded.names)} clips of {len(users)} speakers; {name} {labels.min():g} to '
        f'{labels.max():g}, mean {labels.mean():.3f}, {(labels == 0).sum()} clips at 0.',
        table(header, rows),
        'Users: '
        + ', '.join(
          f'{literal(user)} ({count} clips)'
          for user, count in users[first_user : first_user + num_users]
        )
        + '.',
        '\n'.join(f'- {literal(note)}' for note in loaded.notes),
      ]
    )
    + '\n'
  )


def _rate(frames_per_second: float | None) -> str:
  return '–' if frames_per_second is None else f'{frames_per_second:.4g}'


def pretraining(
  folds: Sequence[Fold], best_epochs: Sequence[int], best_losses: Sequence[float]
) -> str:
  """One row per fold: who is held out, the best epoch (from 1), and its validation MAE."""
  rows = [
    [
      str(fold.rank),
      literal(fold.label),
      str(len(fold.train)),
      str(len(fold.valid)),
      str(epoch),
      number(loss),
    ]
    for fold, epoch, loss in zip(folds, best_epochs, best_losses, strict=True)
  ]
  return (
    '# Pre-training\n\n'
    + table(
      ['fold', 'held out', 'training clips', 'validation clips', 'best epoch', 'validation MAE'],
      rows,
    )
    + '\n'
  )


def before_and_after(user: str, before: UserPredictions, after: UserPredictions) -> str:
  """The metrics of the clips that the predictor was not personalised on."""
  query = ~after.in_support
  rows = []
  for name, prediction in (('before', before), ('after', after)):
    values = metrics.evaluate(prediction.labels[query], prediction.predictions[query])
    rows.append([name, *(number(values[metric]) for metric in COLUMNS)])
  learned = ', '.join(map(literal, np.array(after.clips)[after.in_support]))
  return (
    f'# {literal(user)}\n\nPersonalised on {learned}; scored on the other {query.sum()} '
    'clips.\n\n' + table(['', *COLUMNS.values()], rows) + '\n'
  )


def prediction_csv(prediction: UserPredictions) -> str:
  """One line per clip: clip, label, prediction, in_support."""
  text = io.StringIO(newline='')
  writer = CsvWriter(text)
  writer.writerow(('clip', 'label', 'prediction', 'in_support'))
  for clip, label, predicted, known in zip(
    prediction.clips,
    prediction.labels,
    prediction.predictions,
    prediction.in_support,
    strict=True,
  ):
    writer.writerow((clip, label, predicted, int(known)))
  return text.getvalue()
