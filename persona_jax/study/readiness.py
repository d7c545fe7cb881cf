"""Whether a corpus suffices for a study: checked before the first training step."""

import pathlib
from collections.abc import Mapping

from persona_jax import config as config_lib
from persona_jax.data import feature_facts, inspection, loading
from persona_jax.data.buckets import Epochs
from persona_jax.data.corpus import Corpus
from persona_jax.data.inspection import Inspection
from persona_jax.data.study import Study
from persona_jax.errors import UserError
from persona_jax.model.build import expect_kernels_fit
from persona_jax.study import personas
from persona_jax.types import Config


def planned(
  config: Config,
  corpus: Corpus,
  steps: Mapping[str, int],
  workdir: pathlib.Path,
  existing: Epochs | None = None,
) -> Study:
  """Plans a study that can run to its end.

  Args:
    steps: {modality: steps of the longest clip}.
    existing: as of `fold_plan.plan_folds`.

  Raises:
    UserError: the corpus has nothing to learn from, or too few speakers or clips.
  """
  study = Study.plan(config, corpus, workdir, existing)
  feature_facts.expect_something_to_learn(corpus)
  personas.expect_enough_speakers(study)
  for case in study.folds.cases:
    for control in study.conditions:
      study.draws(case, control)  # refuses a user with too few clips
  expect_kernels_fit(config.model, steps)
  return study


def inspect(config: Config) -> tuple[Inspection, str | None]:
  """Inspects the data of a config, and says why no study of it can run; None if one can.

  Raises:
    UserError: the config cannot work, or the data cannot be loaded.
  """
  config_lib.validate(config)
  corpus = loading.load(feature_facts.uncut(config))
  found = inspection.inspect(corpus, config)
  try:
    planned(config, corpus, inspection.steps(found), pathlib.Path())
  except UserError as error:
    return found, str(error)
  return found, None
