"""`attention.json`: what a clip's audio and vision attend to, before and after personalising."""

import numpy as np

from persona_jax import arms, files
from persona_jax.data.study import Study
from persona_jax.model import attention_maps
from persona_jax.model.build import build
from persona_jax.runtime.progress import Progress
from persona_jax.study.user_session import Adapted, UserSession
from persona_jax.training.pretrain import Pretrained


def write_of_first_user(study: Study, teacher: Pretrained) -> None:
  """Writes `attention.json` of the first user's first draw, unless it exists or is not wanted.

  Args:
    teacher: of the study's first chosen fold.
  """
  arm = arms.headline_arm(set(study.config.study.arms) & set(arms.FINE_TUNED))
  if not study.config.study.attention or arm is None or (study.workdir / files.ATTENTION).exists():
    return
  session = UserSession(study, study.folds.cases[0], teacher)
  with Progress('attention of one clip', 1, 'clips') as progress:
    if has_attention(session):
      write(session, session.adapt(session.support_of_draw(0), arm))
    progress.advance()


def has_attention(session: UserSession) -> bool:
  """Whether the base model has crossmodal attention; nothing is computed."""
  return attention_maps.has_crossmodal(
    build(session.study.config.model),
    session.teacher.params,
    session.gather(session.case.user.clips[:1]),
  )


def write(session: UserSession, adapted: Adapted) -> None:
  """Writes `attention.json` of the query clip with the most words; the workdir is locked."""
  user, corpus = session.case.user, session.study.corpus
  num_words = corpus.clips.lengths['language'][user.clips]
  query = ~np.isin(user.clips, adapted.support)
  clip = user.clips[[np.where(query, num_words, -1).argmax()]]
  models = dict(
    before=(build(session.study.config.model), session.teacher.params),
    after=(session.fine_tuner(adapted.arm).model, adapted.params),
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
