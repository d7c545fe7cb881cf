"""Progress on a terminal; silence anywhere else."""

import sys

from rich import console as rich_console
from rich import progress as rich_progress


class Progress:
  """A progress line with count, the time left and a free text. Use as a context manager."""

  def __init__(self, what: str, total: int, unit: str):
    """Starts at 0 of `total` `unit`s of `what`."""
    self._bar = rich_progress.Progress(  # narrow: 80 columns are to hold the text as well
      rich_progress.TextColumn('{task.description}'),
      rich_progress.BarColumn(bar_width=8),
      rich_progress.MofNCompleteColumn(),
      rich_progress.TextColumn(f'{unit},'),
      rich_progress.TimeRemainingColumn(),
      rich_progress.TextColumn('left'),
      rich_progress.TextColumn('{task.fields[text]}'),
      console=rich_console.Console(file=sys.stderr),
      disable=not sys.stderr.isatty(),
    )
    self._task = self._bar.add_task(what, total=total, text='')

  def __enter__(self) -> 'Progress':
    self._bar.start()
    return self

  def __exit__(self, *exception) -> None:
    self._bar.stop()

  def advance(self, units: int = 1, text: str = '') -> None:
    """So many units more are done."""
    self._bar.update(self._task, advance=units, text=text)
