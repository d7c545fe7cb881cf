"""A thousand speakers are reported in a minute and 2 GB: time and memory grow with the records.

A minute is for the paper's arms. All arms have three times as many differences, and two minutes.
"""

import json
import pathlib
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from persona_jax import arms, files
from persona_jax.evaluation.metrics import METRICS
from persona_jax.reporting import records, report, results
from persona_jax.reporting.scores import Scores

DRAWS, CLIPS = 20, 25
PAPERS = (arms.BASELINE, arms.MEAN_SHIFT, *arms.FINE_TUNED)


def simulate(workdir, num_users, draws=DRAWS, clips=CLIPS, names=arms.ARMS):
  """The files of a study of these arms, written line by line; scores are random."""
  workdir.mkdir(parents=True)
  random, users = np.random.default_rng(0), [f'speaker{number:04}' for number in range(num_users)]
  with (
    (workdir / files.RECORDS).open('w') as lines,
    (workdir / files.PREDICTIONS).open('w') as rows,
  ):
    rows.write('user,arm,seed,draw,clip,label,prediction\n')
    for user in users:
      for arm in names:
        for draw in range(draws):
          trial = dict(user=user, arm=arm, seed=0, draw=draw, num_support=5, num_query=clips)
          lines.write(
            json.dumps(trial | dict(zip(METRICS, random.random(len(METRICS)), strict=True))) + '\n'
          )
          rows.writelines(
            f'{user},{arm},0,{draw},{user}[{clip}],{clip % 7 - 3}.0,{prediction:.4f}\n'
            for clip, prediction in enumerate(random.normal(size=clips))
          )
  records.write_curves(workdir, {(user, 0): random.random((40, 2)) for user in users})
  files.write_json(workdir / files.CONFIG, dict(seed=0, study=dict(num_support=5)))
  files.write_json(
    workdir / files.ENVIRONMENT,
    dict(python='3.11', packages={'jax': '0.10'}, devices=['cpu'], commit=None),
  )
  files.write_json(
    workdir / files.CORPUS,
    dict(
      users=dict.fromkeys(users, clips + 5),
      num_speakers=num_users,
      num_clips=30 * num_users,
      notes=[],
    ),
  )
  return workdir


MEASURED = """
import pathlib, resource, sys, time
from persona_jax.reporting import report, run_comparison
workdirs = [pathlib.Path(name) for name in sys.argv[2:]]
{'report': lambda: report.write(workdirs, workdirs[0]),
 'compare': lambda: run_comparison.compare(workdirs)}[sys.argv[1]]()
print(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measured(what, *workdirs):
  """Seconds of computing and MB of a process of its own, imports included."""
  result = subprocess.run(
    [sys.executable, '-c', MEASURED, what, *map(str, workdirs)],
    text=True,
    check=True,
    capture_output=True,
    cwd=pathlib.Path(__file__).parents[2],
  )
  return tuple(float(number) for number in result.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize('names, limit', [(PAPERS, 60), (arms.ARMS, 120)])
def test_a_thousand_speakers_are_reported_in_minutes_and_two_gigabytes(tmp_path, names, limit):
  workdir = simulate(tmp_path / 'run', 1000, names=names)
  seconds, megabytes = measured('report', workdir)
  assert seconds < limit and megabytes < 2000, (seconds, megabytes)
  assert '1000 held-out speakers' in (workdir / files.REPORT).read_text()
  seconds, megabytes = measured('compare', workdir, workdir)
  assert seconds < 120 and megabytes < 2000, (seconds, megabytes)


def peak(action, *arguments):
  tracemalloc.start()
  action(*arguments)
  _, most = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  return most


def test_a_report_keeps_numbers_only_and_parses_every_record_once(tmp_path, monkeypatch):
  """Ten times the predictions take no more memory, a record some hundred bytes."""
  sources = [simulate(tmp_path / str(clips), 30, draws=4, clips=clips) for clips in (2, 20)]

  def read(source):
    """All that reads predictions, in the report."""
    return report.pictures(results.load([source]))['scatter']()

  read(sources[0])  # what is imported and cached once
  few, many = (peak(read, source) for source in sources)
  assert many < 1.1 * few
  parsed, loads = [], json.loads
  monkeypatch.setattr(json, 'loads', lambda text: parsed.append(text) or loads(text))
  lines, count = records.read([sources[0]]), 30 * len(arms.ARMS) * 4
  assert peak(Scores.of, lines) < 1500 * count and len(parsed) == count


def test_trials_are_written_as_they_come(tmp_path):
  """The text of 40 trials of 400 clips is 0.5 MB, of which few trials are in memory."""

  class Trials(list):
    def __init__(self, count):
      self.count = count

    def __len__(self):
      return self.count

    def __iter__(self):
      for draw in range(self.count):
        yield records.Trial(
          'ann',
          'fs_ua',
          0,
          draw,
          5,
          tuple(f'ann[{clip}]' for clip in range(400)),
          np.ones(400, np.float32),
          np.full(400, 0.1 * draw, np.float32),
        )

  records.write(tmp_path, Trials(1))  # what is imported and cached once
  most = peak(records.write, tmp_path, Trials(40))
  assert most < (tmp_path / files.PREDICTIONS).stat().st_size  # thrice that if all are kept
  with pytest.raises(AssertionError):
    records.write(tmp_path, iter(Trials(1)))
