"""Which clip `attention.json` shows; the maps themselves are in `model/test_attention_maps`."""

import jax
import numpy as np
import pytest

from persona_jax import files
from persona_jax.model import attention_maps
from persona_jax.study import attention
from persona_jax.study.user_session import Adapted, UserSession


@pytest.fixture
def session(study, teachers):
  return UserSession(study, study.folds.cases[0], teachers[0])


def test_a_base_model_without_crossmodal_attention_has_no_maps(session, study, teachers):
  study.config.study.attention = True
  assert not attention.has_attention(session)
  attention.AttentionOfFirstUser(study).write(teachers[0])
  assert not (study.workdir / files.ATTENTION).exists()


def test_the_query_clip_with_most_words_is_shown_before_and_after(session, monkeypatch):
  words = session.study.corpus.clips.lengths['language']
  own = session.case.user.clips
  by_words = own[np.argsort(-words[own], kind='stable')]
  support = by_words[[0, 1, 2, -1]]  # the three with most words are learned from
  moved = jax.tree.map(lambda leaf: leaf + 1, session.teacher.params)

  def maps(program, params, clips):
    shown = clips.masks['language'].sum() + 1000 * (params is moved)
    return {'audio': np.array([[shown]])}

  monkeypatch.setattr(attention_maps, 'onto_language', maps)
  attention.write(session, Adapted('fs_ua', moved, support), maps)
  written = files.read_json(session.study.workdir / files.ATTENTION)
  shown = words[np.setdiff1d(own, support)].max()
  assert written == dict(
    user=session.case.user.name,
    arm='fs_ua',
    clip=written['clip'],
    before={'audio': [[shown]]},
    after={'audio': [[shown + 1000]]},
  )
  index = session.study.corpus.names.index(written['clip'])
  assert index in own and index not in support and words[index] == shown
