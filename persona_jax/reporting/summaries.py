"""Short Markdown for the single stages: the data, the pre-training, one user before and after."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Sequence

import numpy as np

from persona_jax.data.corpus import Corpus, users_by_clips
from persona_jax.data.folds import Fold
from persona_jax.evaluation import metrics
from persona_jax.reporting.files import CsvWriter
from persona_jax.reporting.markdown import literal, number, table
from persona_jax.reporting.tables import COLUMNS

if TYPE_CHECKING:  # reporting runs without jax
  from persona_jax.evaluation.personal import Prediction
  from persona_jax.training.pretrain import Pretrained


def corpus(loaded: Corpus, first_user: int, num_users: int) -> str:
  """What a corpus holds, and every note that loading it made."""
  rows = []
  for modality, sequence in loaded.clips.sequences.items():
    lengths = loaded.clips.masks[modality].sum(axis=1)
    sampling = loaded.sampling.get(modality)
    rates = [_rate(sampling.file_rate), _rate(sampling.rate), str(sampling.num_cut)] if sampling else []
    rows.append([modality, str(sequence.shape[-1]), str(lengths.min()),
                 f'{np.median(lengths):g}', str(lengths.max()), str((lengths == 0).sum()), *rates])
  header = ['modality', 'width', 'fewest steps', 'median', 'most', 'clips without']
  if loaded.sampling:
    header += ['frames/s in the file', 'frames/s used', 'clips cut']
  users = users_by_clips(loaded)
  labels = loaded.labels
  return '\n\n'.join([
      '# Corpus',
      f'{len(loaded.names)} clips of {len(users)} speakers; sentiment {labels.min():g} to '
      f'{labels.max():g}, mean {labels.mean():.3f}, {(labels == 0).sum()} clips at 0.',
      table(header, rows),
      'Users: ' + ', '.join(f'{literal(user)} ({count} clips)'
                             for user, count in users[first_user:first_user + num_users]) + '.',
      '\n'.join(f'- {literal(note)}' for note in loaded.notes)]) + '\n'


def _rate(frames_per_second: float | None) -> str:
  return '–' if frames_per_second is None else f'{frames_per_second:.4g}'


def pretraining(folds: Sequence[Fold], trained: Sequence[Pretrained]) -> str:
  """A row a fold: who is held out, and the best epoch."""
  rows = [[str(fold.rank), literal(fold.user), str(len(fold.train)), str(len(fold.valid)),
           str(teacher.best_epoch), number(teacher.best_loss)]
          for fold, teacher in zip(folds, trained)]
  return '# Pre-training\n\n' + table(
      ['fold', 'held out', 'training clips', 'validation clips', 'best epoch', 'validation MAE'],
      rows) + '\n'


def before_and_after(user: str, before: Prediction, after: Prediction) -> str:
  """The figures of the clips that the user was not personalised on."""
  query = ~after.in_support
  rows = []
  for name, prediction in (('before', before), ('after', after)):
    figures = metrics.evaluate(prediction.labels[query], prediction.predictions[query])
    rows.append([name, *(number(figures[metric]) for metric in COLUMNS)])
  learned = ', '.join(map(literal, np.array(after.clips)[after.in_support]))
  return (f'# {literal(user)}\n\nPersonalised on {learned}; scored on the other {query.sum()} clips.\n\n'
          + table(['', *COLUMNS.values()], rows) + '\n')


def prediction_csv(prediction: Prediction) -> str:
  """One line a clip: clip, label, prediction, in_support."""
  text = io.StringIO(newline='')
  writer = CsvWriter(text)
  writer.writerow(('clip', 'label', 'prediction', 'in_support'))
  for clip, label, predicted, known in zip(prediction.clips, prediction.labels,
                                           prediction.predictions, prediction.in_support):
    writer.writerow((clip, label, predicted, int(known)))
  return text.getvalue()
