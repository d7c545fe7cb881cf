"""The files of studies, with numbers made up."""

import numpy as np

from persona_jax import files
from persona_jax.arms import BAYESIAN, WITHOUT_CLIPS
from persona_jax.evaluation.metrics import METRICS
from persona_jax.reporting import records, report, results
from persona_jax.reporting.document import as_markdown
from persona_jax.reporting.scores import Scores

USERS = ('ann', 'bo', 'cy')
ENVIRONMENT = dict(
  python='3.11', packages={'jax': '0.10'}, devices=['cpu', 'cpu'], commit=None, config_hash='abc'
)
CONFIG = dict(seed=0, study=dict(seeds=[], folds=[], num_support=5))
GROUPED = dict(
  seed=0,
  pretrain=dict(validation='speakers'),
  study=CONFIG['study'] | dict(protocol='grouped', num_groups=2),
)


def write(
  workdir,
  arms=('baseline', 'fs_ua', 'fs_ua_kd'),
  all_shots=(5,),
  users=USERS,
  clips=9,
  gain=0.3,
  own=14,
  draws=3,
  seed=0,
  everybody=USERS,
  config=CONFIG,
  notes=(),
  **corpus,
):
  """A study's workdir: in each draw the query clips are the last of `own`, `clips` many."""
  workdir.mkdir(parents=True, exist_ok=True)
  trials = []
  for user in users:
    for arm in arms:
      for shots in (5,) if arm in WITHOUT_CLIPS else all_shots:
        for draw in range(draws):
          random = np.random.default_rng([draw, len(user)])
          labels = random.uniform(-3, 3, clips).astype(np.float32)
          noise = random.normal(size=clips) * (1 - gain * arms.index(arm) * shots / 5)
          predictions = (labels + noise).astype(np.float32)
          ends = (predictions - 1, predictions + 1) if arm in BAYESIAN else ()
          trials.append(
            records.Trial(
              user,
              arm,
              seed,
              draw,
              shots,
              tuple(f'{user}[{i}]' for i in range(own - clips, own)),
              labels,
              predictions,
              *ends,
            )
          )
  records.write(workdir, trials)
  records.write_curves(
    workdir, {(user, seed): np.array([[2, 1.5], [1, 1.25], [0.5, 1.4]]) for user in users}
  )
  files.write_json(workdir / files.CONFIG, config)
  files.write_json(workdir / files.ENVIRONMENT, ENVIRONMENT)
  files.write_json(
    workdir / files.CORPUS,
    dict(
      users={user: own for user in everybody},
      num_speakers=9,
      num_clips=90,
      notes=list(notes),
      oracle_mae=None,
    )
    | corpus,
  )
  return workdir


def scores(workdir) -> Scores:
  return Scores.of(records.read([workdir]))


def text(*workdirs) -> str:
  """`report.md` of workdirs, without figures."""
  return as_markdown(report.document(results.load(workdirs), {}))


def sections(markdown) -> dict[str, str]:
  """{title: text} of a report's sections, in order."""
  return {part.split('\n')[0]: part for part in markdown.split('\n## ')}


def of_maes(**maes) -> Scores:
  """{arm: a MAE per user}, of users a, b... in one draw."""
  return Scores.of(
    of_mae('abcdefghij'[number], arm, 0, mae)
    for arm, values in maes.items()
    for number, mae in enumerate(values)
  )


def of_mae(user, arm, draw, mae, seed=0, num_support=5, **fields) -> dict:
  """A record of which only the MAE is defined, and what `fields` say."""
  return dict(
    user=user,
    arm=arm,
    seed=seed,
    draw=draw,
    num_support=num_support,
    num_query=9,
    **dict.fromkeys(METRICS),
  ) | dict(mae=mae, **fields)
