"""The leave-one-speaker-out study: pre-train, personalise, predict, record, report."""

import contextlib
import pathlib
from collections.abc import Iterator

from persona_jax import config as config_lib
from persona_jax.data import loading
from persona_jax.data.study import Study
from persona_jax.model.build import build
from persona_jax.reporting import records, report
from persona_jax.runtime import parallel
from persona_jax.study import readiness
from persona_jax.study import workdir as workdir_lib
from persona_jax.study.adaptation import StudyPersonaliser
from persona_jax.study.attention import AttentionOfFirstUser
from persona_jax.study.personas import BayesianArms
from persona_jax.study.teacher_predictions import TeacherPredictor
from persona_jax.study.trials import Predictions, Recorder, trials_by_control
from persona_jax.training import losses, pretrain
from persona_jax.training.pretrain import Pretrained
from persona_jax.training.tensorboard import epoch_log
from persona_jax.types import Config, Params


@contextlib.contextmanager
def opened(config: Config, workdir: pathlib.Path) -> Iterator[Study]:
  """Opens a study with the workdir locked: this process is its one writer.

  Nothing is written before config, data and folds are known to work and to fit what the folder
  already holds: a study that cannot start leaves nothing behind.

  Raises:
    UserError: the config, the folder or the data are not as expected.
  """
  config_lib.validate(config)
  losses.distillation(config.adapt.distillation)
  build(config.model)  # checks the base model
  workdir_lib.expect_unlocked(workdir)
  workdir_lib.expect_config_of_results(workdir, config)
  corpus, existing = loading.load(config), workdir_lib.existing_epochs(workdir)
  study = readiness.planned(config, corpus, corpus.clips.steps, workdir, existing)
  with workdir_lib.lock(workdir):
    workdir_lib.expect_config_of_results(workdir, config)  # another run may have begun it meanwhile
    workdir_lib.expect_corpus_of_results(study)
    workdir_lib.expect_no_fewer_records(study)
    workdir_lib.initialize(study)
    yield study


def run(config: Config, workdir: pathlib.Path, tensorboard: bool = False) -> str:
  """Runs the whole study, or what an interrupted run left to do.

  Args:
    tensorboard: whether to log losses for TensorBoard.

  Returns:
    The report; an empty string on a process that is not the primary one.
  """
  with opened(config, workdir) as study:
    predictor, personaliser = TeacherPredictor(study), StudyPersonaliser(study)
    attention = AttentionOfFirstUser(study)

    def compile_ahead(like: Params) -> None:
      for stage in (predictor, personaliser, attention):
        stage.compile_ahead(like)

    teachers = pretrain_folds(study, tensorboard, compile_ahead)
    names = [fold.name for fold in study.folds.of_teachers]
    of_teacher = dict(zip(names, predictor.predict(teachers), strict=True))
    bayesian = BayesianArms(study, teachers)
    recorder = Recorder(study)
    for results in personaliser.run(teachers):
      for case in study.folds.cases:
        each = study.folds.of_all_teachers(case)
        if case.name not in recorder.trials and all(one.name in results for one in each):
          personal = [results[one.name] for one in each]
          known = Predictions(
            [of_teacher[one.fold.name] for one in each], personal, bayesian.predict(case, personal)
          )
          recorder.trials[case.name] = trials_by_control(study, case, known)
      recorder.write_if_due()
    recorder.write()
    if not parallel.is_primary_process():
      return ''
    attention.write(teachers[0])
    return report.write([workdir], workdir)


def pretrain_only(
  config: Config, workdir: pathlib.Path, tensorboard: bool = False
) -> tuple[Study, list[Pretrained]]:
  """Runs the study's first stage alone; returns the teachers of `FoldPlan.of_teachers`."""
  with opened(config, workdir) as study:
    return study, pretrain_folds(study, tensorboard)


def pretrain_folds(
  study: Study, tensorboard: bool, meanwhile: pretrain.Meanwhile | None = None
) -> list[Pretrained]:
  """Pre-trains the chosen folds, and writes their learning curves to `curves.csv`.

  Args:
    meanwhile: as of `pretrain.pretrain`.
  """
  with epoch_log(study.workdir, tensorboard) as log:
    teachers = pretrain.pretrain(study, log, meanwhile)
  if parallel.is_primary_process():
    records.write_curves(
      study.workdir,
      {
        (fold.label, fold.training_seed): teacher.curves
        for fold, teacher in zip(study.folds.of_teachers, teachers, strict=True)
      },
    )
  return teachers
