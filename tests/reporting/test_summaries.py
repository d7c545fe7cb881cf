"""Summaries on the screen, with names that would act in Markdown or on a terminal."""

import csv
import io
import types

import numpy as np

from persona_jax.reporting import summaries


def prediction(*clips):
  """One clip learned from, the others with labels 1, 2... and predictions 0.5 more."""
  labels = np.arange(len(clips), dtype=np.float32)
  return types.SimpleNamespace(
    clips=clips,
    labels=labels,
    predictions=labels + np.float32(0.5),
    in_support=np.arange(len(clips)) == 0,
  )


def test_names_are_text():
  given = prediction('a|b\x1b[2J[0]', 'v[1]', 'v[2]')
  text = summaries.before_and_after('<b> #', given, given)
  assert text.startswith('# \\<b\\> \\#\n\nPersonalised on a\\|b\\\\x1b\\[2J\\[0\\]; scored on ')
  assert '| before | 0.500 |' in text
  table = summaries.pretraining(
    [types.SimpleNamespace(rank=0, label='a|b', train=[1], valid=[2])], [3], [0.25]
  )
  assert table.splitlines()[-1] == '| 0 | a\\|b | 1 | 1 | 3 | 0.250 |'


def test_predictions_are_read_back():
  names = ('a\rb', 'c,"d"\n', 'v[2]')
  rows = list(csv.reader(io.StringIO(summaries.prediction_csv(prediction(*names)), newline='')))
  assert [row[0] for row in rows[1:]] == list(names)
  assert rows[2] == ['c,"d"\n', '1.0', '1.5', '0']
