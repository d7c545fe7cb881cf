"""What launch.adapt and launch.predict do with tables of clips and a folder of people."""

import io
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from persona_jax import files
from persona_jax.arms import NAMES
from persona_jax.data import loading, own_clips
from persona_jax.data.own_clips import OwnClips
from persona_jax.errors import UserError
from persona_jax.files import CsvWriter
from persona_jax.predictor import advice
from persona_jax.predictor.people import BAYES, People
from persona_jax.predictor.person import identifier
from persona_jax.predictor.predictor import Predictor, Scores
from persona_jax.reporting.markdown import listed, literal
from persona_jax.types import Config

_MOST_NAMED = 20  # users in a sentence


def read(
  predictor: Predictor,
  source: pathlib.Path | Config,
  user: str | None = None,
  only: Sequence[str] = (),
) -> OwnClips:
  """Reads clips of people.

  Args:
    predictor: whose features the clips must have.
    source: a CSV as `own_clips` describes it, or a config whose corpus has the clips.
    user: whose clips to take; clips without a user are theirs too. None takes everybody's.
    only: names of the clips to take; empty takes all.

  Raises:
    UserError: the clips cannot be read, or none is left.
  """
  if isinstance(source, pathlib.Path):
    given = own_clips.read(source, predictor.widths)
  else:
    given = own_clips.of_corpus(loading.load(source))
  if unknown := [name for name in only if name not in given.names]:
    raise UserError(f'no clip {unknown[0]!r}; the clips are {given.names[0]} to {given.names[-1]}.')
  chosen = np.array(
    [
      (user is None or name in ('', user)) and (not only or clip in only)
      for clip, name in zip(given.names, given.users, strict=True)
    ]
  )
  if not chosen.any():
    users = ', '.join(sorted(set(given.users))[:_MOST_NAMED])
    raise UserError(f'no such clip of user {user!r}; the users are {users}.')
  return subset(given, chosen, None if user is None else [user] * int(chosen.sum()))


def subset(given: OwnClips, chosen: np.ndarray, users: Sequence[str] | None = None) -> OwnClips:
  """The clips where the mask [n] is True, perhaps of other users [m]."""
  places = np.flatnonzero(chosen)
  return OwnClips(
    tuple(given.names[place] for place in places),
    tuple(given.users[place] for place in places) if users is None else tuple(users),
    given.labels[places],
    given.clips.at(places),
    given.left_out,
  )


def adapt(predictor: Predictor, people: People, clips: OwnClips, chosen: bool) -> str:
  """Adapts to every person in `clips`, and says what each is known by."""
  lines = []
  for user, own in _by_user(clips).items():
    with people.changing(user) as path:
      before = predictor.person(path) if path.exists() else None
      person = predictor.adapt(own.clips, own.labels, before, own.names, chosen)
      person.save(path)
    how = 'chosen by their labels' if chosen else 'a random choice'
    lines.append(
      f'- {literal(user)}: learned from {_clips(len(own.names))}, taken for {how}; known by '
      f'{_clips(person.num_clips)}, {path.stat().st_size} bytes in {literal(str(path))}.'
    )
    surprises = person.clips[advice.surprising(predictor, person)]
    names = [literal(name) for name in own.names if identifier(name) in surprises]
    if names:
      lines.append(
        f'  The label of {listed(names)} is far from what the other clips suggest; is it right? '
        f'`--forget` takes a clip out again.'
      )
  return '\n'.join(lines)


def fine_tune(predictor: Predictor, people: People, clips: OwnClips, arm: str) -> str:
  """Fine-tunes the model to every person in `clips`, and says what each is known by."""
  lines = []
  for user, own in _by_user(clips).items():
    with people.changing(user) as path:
      before = predictor.fine_tuned_person(path) if path.exists() else None
      person = predictor.fine_tune(own.clips, own.labels, arm, before)
      size = person.save(path)
    lines.append(
      f'- {literal(user)}: {NAMES[arm]} learned from {_clips(len(own.names))}; known by '
      f'{_clips(person.num_clips)}, {size} bytes in {literal(str(path))}.'
    )
  return '\n'.join(lines)


def forget(predictor: Predictor, people: People, user: str, names: Sequence[str]) -> str:
  """Takes clips of a person out again, and says what the person is known by then."""
  with people.changing(user) as path:
    person = predictor.person(path)
    for name in names:
      person = person.forget(name)
    person.save(path)
  return f'- {literal(user)}: forgot {listed(list(map(literal, names)))}; known by ' + (
    f'{_clips(person.num_clips)}.'
  )


def suggest(predictor: Predictor, people: People, clips: OwnClips, count: int) -> str:
  """Names the clips without a label that would be worth one, per person."""
  lines = []
  for user, own in _by_user(clips).items():
    person = predictor.person(people.path(user)) if people.knows(user) else predictor.nobody()
    places = advice.worth_a_label(predictor, person, own.clips, count)
    names = listed([literal(own.names[place]) for place in places])
    lines.append(f'- {literal(user)}: a label would be worth most for {names}.')
  return '\n'.join(lines) or 'Every clip has a label.'


def predictions(predictor: Predictor, people: People, clips: OwnClips) -> dict[str, list]:
  """A row per clip: {clip, user, prediction, low, high, known: [n]}; None for no interval."""
  mean, low, high = _scores(predictor, people, clips)
  known = {user: int(people.knows(user)) for user in dict.fromkeys(clips.users)}
  return dict(
    clip=list(clips.names),
    user=list(clips.users),
    prediction=list(mean),
    low=[None if np.isnan(value) else value for value in low],
    high=[None if np.isnan(value) else value for value in high],
    known=[known[user] for user in clips.users],
  )


def as_csv(table: Mapping[str, Sequence]) -> str:
  """A table as CSV; None is an empty cell."""
  text = io.StringIO(newline='')
  writer = CsvWriter(text)
  writer.writerow(table)
  for row in zip(*table.values(), strict=True):
    writer.writerow('' if value is None else value for value in row)
  return text.getvalue()


def write_table(path: pathlib.Path, table: Mapping[str, Sequence]) -> None:
  """Writes a table as CSV, or as Parquet where the name of the file ends in `.parquet`.

  Raises:
    UserError: it cannot be written, or Parquet is asked for and pyarrow is not installed.
  """
  if path.suffix != '.parquet':
    files.write_text(path, as_csv(table))
    return
  try:
    import pyarrow  # pyright: ignore[reportMissingImports]  # not everybody needs it
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]
  except ImportError as error:
    raise UserError(f'{path}: Parquet needs pyarrow: pip install pyarrow.') from error
  temporary = path.with_name(f'.{path.name}.tmp')
  parquet.write_table(pyarrow.table(dict(table)), temporary)
  temporary.replace(path)


def _scores(predictor: Predictor, people: People, clips: OwnClips) -> Scores:
  names = list(dict.fromkeys(clips.users))
  if people.arm == BAYES and predictor.priors is not None:
    known = [
      predictor.person(people.path(user)) if people.knows(user) else predictor.nobody()
      for user in names
    ]
    return predictor.predict_mixed(clips.clips, known, [names.index(u) for u in clips.users])
  scores = Scores(*(np.zeros(len(clips.names), np.float32) for _ in Scores._fields))
  for user in names:
    places = np.flatnonzero([other == user for other in clips.users])
    person = None
    if people.arm != BAYES and people.knows(user):
      person = predictor.fine_tuned_person(people.path(user))
    own = predictor.predict(clips.clips.at(places), person)
    for column, values in zip(scores, own, strict=True):
      column[places] = values
  return scores


def left_out(clips: OwnClips) -> str:
  """Which lines were not used, and why; empty if all were."""
  if not clips.left_out:
    return ''
  lines = [f'- {literal(line)}: {literal(reason)}.' for line, reason in clips.left_out.items()]
  return '\n'.join(['Not used:', '', *lines])


def _by_user(clips: OwnClips) -> dict[str, OwnClips]:
  users = dict.fromkeys(clips.users)
  return {user: subset(clips, np.array([other == user for other in clips.users])) for user in users}


def _clips(count: int) -> str:
  return f'{count} clip{"" if count == 1 else "s"}'
