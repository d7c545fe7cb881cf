"""What a report is made from: the records of one study, from one or several workdirs."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

from persona_jax import files, targets
from persona_jax.arms import CONTROLS, is_bayesian
from persona_jax.errors import UserError
from persona_jax.reporting import arm_comparison, records, shots_curve
from persona_jax.reporting.arm_comparison import Comparison
from persona_jax.reporting.markdown import visible
from persona_jax.reporting.merging import expect_parts_of_one_study
from persona_jax.reporting.scores import Scores
from persona_jax.reporting.shots_curve import Curve
from persona_jax.targets import Target


@dataclasses.dataclass(frozen=True)
class Results:
  """The results of one study.

  Attributes:
    sources: the workdirs.
    config, corpus: `config.json` and `corpus.json` of the first.
    environments: {workdir: its `environment.json`}.
    all_scores: the records by their users' ranks, of every number of support clips.
  """

  sources: tuple[pathlib.Path, ...]
  config: dict
  corpus: dict
  environments: dict[pathlib.Path, dict]
  all_scores: Scores

  @property
  def is_grouped(self) -> bool:
    """Whether the study held out groups of speakers, all of them users."""
    return self.config['study'].get('protocol') == 'grouped'  # since 0.3

  @property
  def has_personas(self) -> bool:
    """Whether the study has arms that the paper does not have."""
    asked = self.config['study'].get('arms', ())
    return any(map(is_bayesian, [*asked, *self.all_scores.arms]))

  @property
  def num_support(self) -> int:
    """The support clips that the tables are of; other numbers make the curve."""
    return self.config['study']['num_support']

  @functools.cached_property
  def scores(self) -> Scores:
    """The records of `num_support` clips."""
    return self.all_scores.only(self.num_support)

  @functools.cached_property
  def controls(self) -> dict[str, Scores]:
    """{control: its records}, of the controls that have any."""
    return {name: found for name in CONTROLS if (found := _of_control(self, name)) is not None}

  @functools.cached_property
  def ranks(self) -> dict[str, int]:
    """{user: place in the study's order}, of the whole study."""
    return ranks(self.corpus)

  @functools.cached_property
  def comparisons(self) -> list[Comparison]:
    return arm_comparison.compare(self.scores)

  @functools.cached_property
  def curves(self) -> list[Curve]:
    return list(shots_curve.curves(self.all_scores))

  @functools.cached_property
  def gains(self) -> dict[str, list[Curve]]:
    return shots_curve.gains(self.all_scores)


def load(sources: Sequence[pathlib.Path]) -> Results:
  """Reads the workdirs.

  Raises:
    UserError: a file is missing or broken, one trial is in two workdirs, the workdirs are of
      different studies, or a record's user is not in the study.
  """
  expect_parts_of_one_study(sources)
  config, corpus = (files.read_json(sources[0] / name) for name in (files.CONFIG, files.CORPUS))
  environments = {source: files.read_json(source / files.ENVIRONMENT) for source in sources}
  scores = by_rank(Scores.of(records.read(sources)), ranks(corpus))
  scores = dataclasses.replace(
    scores, easy_mean_shift=has_easy_mean_shift(config), target=target_of(config)
  )
  return Results(tuple(sources), config, corpus, environments, scores)


def _of_control(loaded: Results, name: str) -> Scores | None:
  """The records of a control in any of the workdirs."""
  folders = [source / files.CONTROLS / name for source in loaded.sources]
  folders = [folder for folder in folders if (folder / files.RECORDS).exists()]
  if not folders:
    return None
  scores = by_rank(Scores.of(records.read(folders)), loaded.ranks)
  whole = loaded.all_scores
  return dataclasses.replace(scores, easy_mean_shift=whole.easy_mean_shift, target=whole.target)


def has_easy_mean_shift(config: dict) -> bool:
  """Whether the mean shift learned its shrinkage from speakers whom the model was trained on."""
  return config.get('pretrain', {}).get('validation') != 'speakers'


def target_of(config: dict) -> Target:
  """What a study's `config.json` says is predicted."""
  return targets.named(config.get('data', {}).get('target', targets.SENTIMENT.name))


def ranks(corpus: dict) -> dict[str, int]:
  """{user: place in the study's order}, from `corpus.json`."""
  return {user: rank for rank, user in enumerate(corpus['users'])}


def by_rank(scores: Scores, ranks: dict[str, int]) -> Scores:
  """The records in the study's order of users, whatever jobs they come from."""
  strangers = [user for user in scores.users if user not in ranks]
  if strangers:
    listed = ', '.join([*map(visible, list(ranks)[:10]), *(['...'] if len(ranks) > 10 else [])])
    raise UserError(
      f'records of user {visible(strangers[0])}, who is not in this study '
      f'of {len(ranks)} users ({listed}); name workdirs of one study.'
    )
  return scores.by_rank(ranks)
