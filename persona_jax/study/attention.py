"""`attention.json`: what a clip's audio and vision attend to, before and after personalising."""

import dataclasses

import numpy as np

from persona_jax import arms, files
from persona_jax.data.study import Study
from persona_jax.model import attention_maps
from persona_jax.model.build import build
from persona_jax.runtime import parallel
from persona_jax.runtime.progress import Progress
from persona_jax.study.user_session import Adapted, UserSession
from persona_jax.training.pretrain import Pretrained
from persona_jax.types import Params


class AttentionOfFirstUser:
  """Writes `attention.json` of the first user's first draw, unless it exists or is not wanted."""

  def __init__(self, study: Study):
    self._study = study
    self._arm = arms.headline_arm(set(study.config.study.arms) & set(arms.FINE_TUNED))
    self._begun: UserSession | None = None
    self._maps = attention_maps.program(build(study.config.model))

  def compile_ahead(self, like: Params) -> None:
    """Begins to compile what is needed, while the teacher is still to be trained.

    Args:
      like: the shapes and types of a teacher's parameters.
    """
    if self._arm is None or not self._is_wanted():
      return
    untrained = Pretrained(like, 0, 0.0, np.zeros((0, 2), np.float32))
    session = UserSession(self._study, self._study.folds.cases[0], untrained)
    if has_attention(session):
      session.compile_ahead(session.support_of_draw(0), self._arm)
      self._maps.compile(like, session.gather(session.case.user.clips[:1]), ahead=True)
      self._begun = session

  def write(self, teacher: Pretrained) -> None:
    """Writes the file, given the teacher of the study's first chosen fold."""
    if self._arm is None or not self._is_wanted():
      return
    session = self._begun or UserSession(self._study, self._study.folds.cases[0], teacher)
    session = dataclasses.replace(session, teacher=teacher)
    with Progress('attention of one clip', 1, 'clips') as progress:
      if has_attention(session):
        write(session, session.adapt(session.support_of_draw(0), self._arm), self._maps)
      progress.advance()

  def _is_wanted(self) -> bool:
    exists = (self._study.workdir / files.ATTENTION).exists()
    wanted = self._study.config.study.attention and not exists
    return wanted and parallel.is_primary_process()


def has_attention(session: UserSession) -> bool:
  """Whether the base model has crossmodal attention; nothing is computed."""
  return attention_maps.has_crossmodal(
    build(session.study.config.model),
    session.teacher.params,
    session.gather(session.case.user.clips[:1]),
  )


def write(session: UserSession, adapted: Adapted, maps: parallel.Program) -> None:
  """Writes `attention.json` of the query clip with the most words; the workdir is locked.

  Args:
    maps: `attention_maps.program` of the teacher's model.
  """
  user, corpus = session.case.user, session.study.corpus
  num_words = corpus.clips.lengths['language'][user.clips]
  query = ~np.isin(user.clips, adapted.support)
  clip = user.clips[[np.where(query, num_words, -1).argmax()]]
  teacher, student = build(session.study.config.model), session.fine_tuner(adapted.arm).model
  models = dict(
    before=(maps, session.teacher.params),
    after=(maps if student is teacher else attention_maps.program(student), adapted.params),
  )
  tables = {
    when: {
      modality: table.round(4).tolist()
      for modality, table in attention_maps.onto_language(*model, session.gather(clip)).items()
    }
    for when, model in models.items()
  }
  files.write_json(
    session.study.workdir / files.ATTENTION,
    dict(user=user.name, arm=adapted.arm, clip=corpus.names[clip[0]], **tables),
  )
