"""Starts launchers as a user does, each in its own process.

On Linux a process is forked from a server that has imported JAX and the package but run nothing,
which spares each the seconds of its imports. Elsewhere, and by `fresh`, a new interpreter starts.
"""

import atexit
import csv
import functools
import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
FORKS = sys.platform == 'linux'
_IMPORTED = ('launch.common', 'persona_jax.study.leave_one_speaker_out', 'pooling')


class _Forked:
  """What is used here of `subprocess.Popen`, of a process that the server forks."""

  def __init__(self, launcher: str, flags: list[str], environment: dict[str, str]):
    self._files = [tempfile.NamedTemporaryFile('r', encoding='utf-8') for _ in range(2)]
    names = [file.name for file in self._files]
    self._process = _server().Process(target=_launch, args=(launcher, flags, environment, names))
    self._process.start()
    self.pid, self.kill = self._process.pid, self._process.kill

  def send_signal(self, number: int) -> None:
    os.kill(self.pid, number)

  def poll(self) -> int | None:
    return self._process.exitcode

  @property
  def returncode(self) -> int | None:
    return self._process.exitcode

  def communicate(self) -> tuple[str, str]:
    """Waits for the end; what the process wrote to its standard output and error."""
    self._process.join()
    output, errors = (file.read() for file in self._files)
    return output, errors


@functools.cache
def _server():
  """The server, started with this process's environment."""
  context = multiprocessing.get_context('forkserver')
  context.set_forkserver_preload(list(_IMPORTED))
  paths = os.environ.get('PYTHONPATH')
  os.environ['PYTHONPATH'] = os.pathsep.join(
    [str(ROOT), str(ROOT / 'tests'), *filter(None, [paths])]
  )
  context.Process(target=int).start()  # starts the server, which imports before it forks
  if paths is None:
    del os.environ['PYTHONPATH']
  else:
    os.environ['PYTHONPATH'] = paths
  return context


def _launch(launcher: str, flags: list[str], environment: dict[str, str], files: list[str]) -> None:
  """What `python -m launch.<launcher>` does, in a forked process that writes to two files."""
  for descriptor, name in enumerate(files, start=1):
    os.dup2(os.open(name, os.O_WRONLY), descriptor)
  os.chdir(ROOT)
  os.environ.clear()
  os.environ.update(environment)
  try:
    _run(launcher, flags)
  finally:
    atexit._run_exitfuncs()  # multiprocessing's children run none of them


def _run(launcher: str, flags: list[str]) -> None:
  sys.argv = [str(ROOT / 'launch' / f'{launcher}.py'), *flags]
  runpy.run_module(f'launch.{launcher}', run_name='__main__', alter_sys=True)


def start(launcher, *flags, **environment):
  """Starts a launcher; its process has `pid`, `poll`, `kill`, `send_signal` and `communicate`."""
  flags, environment = [str(flag) for flag in flags], os.environ | environment
  if FORKS:
    return _Forked(launcher, flags, environment)
  return _started([sys.executable, str(pathlib.Path(__file__)), launcher, *flags], environment)


def fresh(launcher, *flags, **environment):
  """`start` by `python -m launch.<launcher>`; `JAX_` variables are read by it alone."""
  return _started(
    [sys.executable, '-m', f'launch.{launcher}', *map(str, flags)], os.environ | environment
  )


def _started(command: list[str], environment: dict[str, str]) -> subprocess.Popen:
  return subprocess.Popen(
    command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  )


def output_of(process) -> str:
  """Output of a launcher that must succeed, and be quiet when not on a terminal."""
  output, errors = process.communicate()
  assert process.returncode == 0 and not errors, errors
  return output


def run(launcher, *flags, **environment) -> str:
  return output_of(start(launcher, *flags, **environment))


def complaint(launcher, *flags) -> str:
  """The one sentence of a launcher that must refuse."""
  process = start(launcher, *flags)
  _, errors = process.communicate()
  assert process.returncode == 1
  assert 'Traceback' not in errors and len(errors.strip().splitlines()) == 1, errors
  return errors


def personalised_alone(flags, workdir, fold, user, arm, support, folder, **environment):
  """A held-out user of a study met by the fold's predictor: {clip: prediction} of all clips.

  Args:
    flags: of the study, without its workdir.
    workdir: of the study.
    fold: whose model becomes a predictor.
    user, arm: who is personalised to, and how.
    support: names of the clips to learn from.
    folder: for the predictor and the person.
  """
  predictor = f'--predictor={folder / "predictor"}'
  run('train', *flags, f'--study={workdir}', f'--fold={fold}', predictor, **environment)
  config = [flag for flag in flags if not flag.startswith('--config.study.')]
  common = [*config, predictor, f'--user={user}', f'--arm={arm}', f'--users={folder / "users"}']
  run('adapt', *common, f'--only={",".join(support)}', **environment)
  table = csv.DictReader(run('predict', *common, **environment).splitlines())
  rows = list(table)
  assert {(row['user'], row['known']) for row in rows} == {(user, '1')}
  return {row['clip']: float(row['prediction']) for row in rows}


def wait_for(process, folder: pathlib.Path, pattern: str) -> None:
  """Waits until a running process has made a file of this pattern."""
  while not list(folder.glob(pattern)):
    assert process.poll() is None, process.communicate()
    time.sleep(0.01)


if __name__ == '__main__':
  sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]
  import pooling  # noqa: F401

  _run(sys.argv[1], sys.argv[2:])
