"""Writing a corpus file: it is whole in the end, or what was there before is still there."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import writers

from persona_jax import data
from persona_jax.data import corpus as corpus_lib
from persona_jax.data import corpus_about
from persona_jax.errors import UserError


@pytest.mark.parametrize(
  'change, complaint',
  [
    (dict(labels=np.float32([0] * 8 + [4])), r"labels: of clip 'vc\[2\]', its sentiment is 4"),
    (dict(notes=('x' * corpus_about.MOST_BYTES,)), 'about: 62.* bytes of names and notes, expec'),
  ],
)
def test_a_corpus_that_could_not_be_loaded_is_not_saved(tmp_path, tiny, change, complaint):
  with pytest.raises(UserError, match=f'y.h5: {complaint}'):
    data.save_corpus(dataclasses.replace(tiny, **change), tmp_path / 'y.h5')
  assert list(tmp_path.iterdir()) == []


def test_frames_that_are_not_finite_are_not_saved(tmp_path, tiny):
  frames = dict(tiny.clips.frames, vision=np.where(tiny.clips.frames['vision'] > 2, np.inf, 0))
  frames['vision'] = frames['vision'].astype(np.float32)
  broken = dataclasses.replace(tiny, clips=tiny.clips._replace(frames=frames))
  with pytest.raises(UserError, match='y.h5: frames/vision: a value is not finite'):
    data.save_corpus(broken, tmp_path / 'y.h5')
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError(28, 'No space left on device')])
def test_a_writer_that_fails_leaves_what_was_there(saved, tiny, monkeypatch, error):
  before = os.listdir(saved.data.root), open(writers.path_of(saved), 'rb').read()

  def rows(clips, modality):
    yield from clips.frames[modality][None, :2]
    raise error

  monkeypatch.setattr(corpus_lib, 'rows_of', rows)
  with pytest.raises((KeyboardInterrupt, UserError)):
    data.save_corpus(tiny, writers.path_of(saved))
  assert (os.listdir(saved.data.root), open(writers.path_of(saved), 'rb').read()) == before


KILLED = """
import os, signal, sys, time
from configs import synthetic
from persona_jax import data
from persona_jax.data import corpus, loading
from persona_jax.runtime import preemption

made, whole = loading.load(synthetic.get_config('smoke')), corpus.rows_of

def rows(clips, modality):
  for place, found in enumerate(whole(clips, modality)):
    yield found
    print(sorted(os.listdir(sys.argv[1])))
    os.kill(os.getpid(), signal.Signals[sys.argv[2]])
    while not preemption.requested():
      time.sleep(0.01)

corpus.rows_of = rows
preemption.run(lambda: data.save_corpus(made, sys.argv[1] + '/x.h5'), 'convert', 60)
"""


@pytest.mark.parametrize('signal, number', [('SIGINT', 2), ('SIGTERM', 15)])
def test_a_writer_that_is_stopped_leaves_nothing(tmp_path, signal, number):
  process = subprocess.run(
    [sys.executable, '-c', KILLED, str(tmp_path), signal], capture_output=True, text=True
  )
  assert process.stdout == "['.x.h5.tmp']\n" and process.returncode == 128 + number
  assert f'stopped by {signal} before the file was whole; nothing is left' in process.stderr
  assert os.listdir(tmp_path) == []
