"""Stopping cleanly when a cluster sends SIGTERM or a user presses Ctrl-C.

The work runs in a thread of its own, so that the main thread can handle a signal even while XLA
compiles or computes. Loops ask `requested()` at every step boundary, save, and raise `Preempted`.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from rich import console

GRACE = 8.0  # seconds for the step to end and be saved; clusters often kill after ten
_requested = threading.Event()


class Preempted(Exception):
  """The work stopped at a step boundary with everything saved; its text says where."""


def requested() -> bool:
  """Whether the work is to save and stop."""
  return _requested.is_set()


def run(work: Callable[[], None], name: str, grace: float) -> None:
  """Runs `work` to its end, and raises what it raises.

  After SIGTERM or SIGINT, `work` has `grace` seconds to save and raise `Preempted`; then the
  process ends with exit code 128 + signal. A step that takes longer is abandoned, and what was
  saved before it stays. A second SIGINT ends the process at once.
  """
  received, raised = [], []

  def on_signal(number, _):
    if received and number == signal.SIGINT:
      _leave(name, number, 'at once')
    received.append((number, time.monotonic()))
    _requested.set()

  def worker():
    try:
      work()
    except BaseException as error:  # handed to the main thread, which raises it
      raised.append(error)

  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, on_signal)
  thread = threading.Thread(target=worker, daemon=True)
  thread.start()
  while thread.is_alive() and not (received and time.monotonic() > received[0][1] + grace):
    thread.join(0.1)
  if thread.is_alive():
    _leave(name, received[0][0], 'in the middle of a step, which is lost')
  elif raised and isinstance(raised[0], Preempted):
    _leave(name, received[0][0], str(raised[0]))
  elif raised:
    raise raised[0]


def _leave(name: str, number: int, where: str) -> None:
  """Ends the process without waiting for a thread that compiles or computes."""
  if sys.stderr.isatty():
    console.Console(file=sys.stderr).show_cursor()
  print(
    f'{name}: stopped by {signal.Signals(number).name} {where}. Rerun the same command to resume.',
    file=sys.stderr,
    flush=True,
  )
  sys.stdout.flush()
  os._exit(128 + number)
