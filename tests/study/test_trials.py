"""From predictions to records."""

import types

from persona_jax.reporting import records
from persona_jax.study import trials


def test_records_are_written_in_time_linear_in_the_trials(tmp_path, monkeypatch):
  """A user's records take a second each to write, and a user is done every second."""
  now, rows = [0.0], []
  monkeypatch.setattr(trials.time, 'monotonic', lambda: now[0])

  def write(workdir, written):
    rows.append(len(written))
    now[0] += len(written)

  monkeypatch.setattr(records, 'write', write)

  cases = [types.SimpleNamespace(name=str(number)) for number in range(1000)]
  recorder = trials.Recorder(
    types.SimpleNamespace(
      workdir=tmp_path, folds=types.SimpleNamespace(cases=cases), conditions=('',)
    )
  )
  for case in cases:
    recorder.trials[case.name] = {'': [case]}
    now[0] += 1
    recorder.write_if_due()
  recorder.write()
  assert rows[0] == 1 and rows[-1] == 1000 and rows == sorted(rows)
  assert sum(rows) < 2.5 * 1000  # whole files after every user would be 500,500
