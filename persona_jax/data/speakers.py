"""Who speaks in which video: a CSV `video,speaker`, or every video a speaker of its own."""

import csv
import pathlib
import unicodedata
from collections.abc import Collection, Iterator

from persona_jax.errors import UserError

HEADER = ['video', 'speaker']


def speakers_of(videos: Collection[str], path: pathlib.Path | None) -> tuple[dict[str, str], str]:
  """Maps videos to speakers, and says in a sentence how.

  Names are stripped of surrounding space and brought into Unicode's composed form (NFC), so that
  one person is one speaker.

  Args:
    path: the CSV; None counts every video as a speaker.

  Raises:
    UserError: the file cannot be read, contradicts itself, or has no line for a video.
  """
  if path is None:
    return (
      {video: video for video in videos},
      f'every video counts as a speaker ({len(videos)}), though a person may speak in '
      'several; config.data.speakers names a CSV "video,speaker" that tells them apart.',
    )
  speaker_of, line_of = {}, {}
  for line, video, speaker in _lines(path):
    if speaker_of.setdefault(video, speaker) != speaker:
      raise UserError(
        f'{path}, line {line}: video {video!r} is of speaker {speaker!r}, and in line '
        f'{line_of[video]} of {speaker_of[video]!r}; give every video one speaker.'
      )
    line_of.setdefault(video, line)
  unmapped = sorted(video for video in videos if _normal(video) not in speaker_of)
  if unmapped:
    raise UserError(
      f'{path}: no speaker for video {unmapped[0]} (and {len(unmapped) - 1} more); '
      'add one line per video.'
    )
  found = {video: speaker_of[_normal(video)] for video in videos}
  return found, f'{len(set(found.values()))} speakers in {len(found)} videos, from {path.name}.'


def _lines(path: pathlib.Path) -> Iterator[tuple[int, str, str]]:
  """The line number, video and speaker of every line behind the header."""
  try:
    with path.open(newline='', encoding='utf-8-sig') as file:
      rows = csv.reader(file, strict=True)
      header = [field.strip() for field in next(rows, [])]
      if header != HEADER:
        raise UserError(f'{path}: header {header}, expected video,speaker.')
      for row in rows:
        fields = [_normal(field) for field in row]
        if not any(fields):
          continue
        if len(fields) != 2 or not all(fields):
          raise UserError(
            f'{path}, line {rows.line_num}: {row} is not a video and a speaker; expected '
            'two fields, neither of them empty.'
          )
        if not all(field.isprintable() for field in fields):
          raise UserError(
            f'{path}, line {rows.line_num}: {ascii(row)} holds characters that cannot be '
            'printed; expected names of printable text on one line.'
          )
        video, speaker = fields
        yield rows.line_num, video, speaker
  except OSError as error:
    raise UserError(
      f'{path}: not readable ({error.strerror}); expected a CSV with the header '
      'video,speaker (config.data.speakers).'
    ) from error
  except UnicodeDecodeError as error:
    raise UserError(
      f'{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as a CSV in UTF-8.'
    ) from error
  except csv.Error as error:
    raise UserError(
      f'{path}, line {rows.line_num}: not CSV ({error}); expected the header '
      'video,speaker and a line per video.'
    ) from error


def _normal(name: str) -> str:
  return unicodedata.normalize('NFC', name.strip())
