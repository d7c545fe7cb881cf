"""Starts launchers as a user does: each its own process."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def start(launcher, *flags, **environment):
  return subprocess.Popen(
    [sys.executable, '-m', f'launch.{launcher}', *map(str, flags)],
    cwd=ROOT,
    env=os.environ | environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def run(launcher, *flags, **environment):
  """Output of a launcher that must succeed, and be quiet when not on a terminal."""
  process = start(launcher, *flags, **environment)
  output, errors = process.communicate()
  assert process.returncode == 0 and not errors, errors
  return output


def complaint(launcher, *flags):
  """The one sentence of a launcher that must refuse."""
  process = start(launcher, *flags)
  _, errors = process.communicate()
  assert process.returncode == 1
  assert 'Traceback' not in errors and len(errors.strip().splitlines()) == 1, errors
  return errors
