"""The programs of the second stage, compiled while the first one trains."""

import dataclasses
import gc
import weakref

import jax
import numpy as np

from persona_jax import files
from persona_jax.model import attention_maps
from persona_jax.runtime import parallel
from persona_jax.study import attention, leave_one_speaker_out
from persona_jax.study.adaptation import StudyPersonaliser
from persona_jax.study.teacher_predictions import TeacherPredictor
from persona_jax.training.checkpoint import Checkpoints

STAGES = (TeacherPredictor, StudyPersonaliser, attention.AttentionOfFirstUser)


def begin_ahead(stage, teachers, monkeypatch):
  """Lets a stage compile ahead, in the threads that are for this; no array comes to a device."""
  with monkeypatch.context() as patch:
    patch.setattr(jax, 'make_array_from_callback', None)
    patch.setattr(parallel, '_COMPILING', None)
    stage.compile_ahead(jax.eval_shape(lambda: teachers[0].params))


def compiled(monkeypatch):
  """How often programs began to be compiled, in a list that grows."""
  begun, compile = [], parallel.Program.compile

  def noticed(self, *arrays, **options):
    if self._compiled is None:
      begun.append(self)
    compile(self, *arrays, **options)

  monkeypatch.setattr(parallel.Program, 'compile', noticed)
  return begun


def test_what_is_compiled_ahead_is_what_runs(teachers, study, tmp_path, monkeypatch):
  *_, expected = StudyPersonaliser(study).run(teachers)
  begun = compiled(monkeypatch)
  again = StudyPersonaliser(dataclasses.replace(study, workdir=tmp_path / 'again'))
  begin_ahead(again, teachers, monkeypatch)
  assert len(begun) == len(again._programs) > 0
  *_, found = again.run(teachers)
  assert len(begun) == len(again._programs)
  assert found.keys() == expected.keys()
  for name, cells in expected.items():
    for cell, rows in cells.items():
      np.testing.assert_array_equal(found[name][cell], rows, err_msg=f'{name} {cell}')


def test_what_is_compiled_ahead_predicts(teachers, study, tmp_path, monkeypatch):
  expected = TeacherPredictor(study).predict(teachers)
  begun = compiled(monkeypatch)
  again = TeacherPredictor(dataclasses.replace(study, workdir=tmp_path / 'again'))
  begin_ahead(again, teachers, monkeypatch)
  (program,) = begun
  program._function = None  # to compile anew would fail
  for ours, theirs in zip(again.predict(teachers), expected, strict=True):
    np.testing.assert_array_equal(ours.held_out, theirs.held_out)
  held = weakref.ref(program)
  del program
  begun.clear()
  gc.collect()
  assert held() is None  # nor the clips that it has on the devices


def test_what_is_compiled_ahead_draws_attention(teachers, study, monkeypatch):
  study.config.study.attention = True
  monkeypatch.setattr(attention, 'has_attention', lambda session: True)
  expected = np.array([[0.5]])
  monkeypatch.setattr(
    attention_maps, 'onto_language', lambda program, params, clips: {'audio': expected}
  )
  made, make = [], parallel.Program.__init__
  monkeypatch.setattr(
    parallel.Program, '__init__', lambda self, function: made.append(self) or make(self, function)
  )
  begun, writer = compiled(monkeypatch), attention.AttentionOfFirstUser(study)
  begin_ahead(writer, teachers, monkeypatch)
  writer.write(teachers[0])
  assert len(made) == 2 and set(made) == set(begun)  # one fine-tunes, one makes maps
  written = files.read_json(study.workdir / files.ATTENTION)
  assert written['before'] == written['after'] == {'audio': expected.tolist()}


def test_nothing_is_compiled_for_what_is_done(teachers, study, monkeypatch):
  study.config.study.attention = True
  monkeypatch.setattr(attention, 'has_attention', lambda session: True)
  list(StudyPersonaliser(study).run(teachers))
  TeacherPredictor(study).predict(teachers)
  files.write_json(study.workdir / files.ATTENTION, {})
  begun = compiled(monkeypatch)
  for stage in STAGES:
    stage(study).compile_ahead(jax.eval_shape(lambda: teachers[0].params))
  attention.AttentionOfFirstUser(study).write(teachers[0])
  assert begun == [] and files.read_json(study.workdir / files.ATTENTION) == {}


def test_one_process_draws_attention(teachers, study, monkeypatch):
  study.config.study.attention = True
  monkeypatch.setattr(attention, 'has_attention', lambda session: True)
  monkeypatch.setattr(parallel, 'is_primary_process', lambda: False)
  begun, writer = compiled(monkeypatch), attention.AttentionOfFirstUser(study)
  begin_ahead(writer, teachers, monkeypatch)
  writer.write(teachers[0])
  assert begun == [] and not (study.workdir / files.ATTENTION).exists()


def test_a_study_compiles_ahead(config, tmp_path, monkeypatch):
  """Every stage once, in the order of their use, and before the first epoch ends."""
  events, save = [], Checkpoints.save

  def saved(self, step, tree):
    events.append('save')
    save(self, step, tree)

  for stage in STAGES:

    def compile_ahead(self, like, stage=stage, ahead=stage.compile_ahead):
      events.append(stage)
      ahead(self, like)

    monkeypatch.setattr(stage, 'compile_ahead', compile_ahead)
  monkeypatch.setattr(Checkpoints, 'save', saved)
  leave_one_speaker_out.run(config, tmp_path)
  assert events[:4] == [*STAGES, 'save'] and not set(STAGES) & set(events[4:])
