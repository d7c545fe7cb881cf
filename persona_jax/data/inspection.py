"""What a corpus holds, in numbers, and what a study would make of it."""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np

from persona_jax.data import feature_facts, fold_plan, folds, releases, source_files
from persona_jax.data.corpus import Corpus, users_by_clips
from persona_jax.data.feature_facts import ModalityFacts
from persona_jax.data.source_files import SourceFile
from persona_jax.errors import UserError
from persona_jax.types import Config

NUM_FIRST = 10  # names that are given of a group of clips or speakers


@dataclasses.dataclass(frozen=True)
class Group:
  """Some clips or speakers with something in common.

  Attributes:
    what: they have in common.
    count: how many they are.
    first: the names of the first few.
  """

  what: str
  count: int
  first: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ProtocolFacts:
  """What a way of holding out speakers asks of the corpus.

  Attributes:
    clips_needed: of every user.
    asked: speakers whom it would personalise to, with their numbers of clips.
    enough: those with enough clips.
    too_few: the others, with their numbers of clips.
    problem: why folds cannot be made; None if they can.
  """

  clips_needed: int
  asked: Group
  enough: int
  too_few: Group
  problem: str | None


@dataclasses.dataclass(frozen=True)
class Inspection:
  """Everything that is known of a corpus.

  Attributes:
    corpus_like: the published corpus with as many videos and clips, if any.
    files: {'labels' or modality: its file}; empty where there are no .csd files.
    modalities: {modality: facts}.
    clips_found: labelled clips, kept or left out.
    clips_matched: those kept with every modality.
    masked, left_out: those kept without some modality, and those not kept, by reason.
    labels: {label, rounded to an integer: clips}.
    num_labels: different labels.
    speakers: {speaker: clips}, most clips first.
    protocols: {protocol: what it asks}.
    mixtures: sentences on files that do not seem to belong together.
    notes: of the loader.
  """

  corpus_like: str | None
  files: dict[str, SourceFile]
  modalities: dict[str, ModalityFacts]
  clips_found: int
  clips_matched: int
  masked: tuple[Group, ...]
  left_out: tuple[Group, ...]
  labels: dict[int, int]
  num_labels: int
  speakers: dict[str, int]
  protocols: dict[str, ProtocolFacts]
  mixtures: tuple[str, ...]
  notes: tuple[str, ...]


def inspect(corpus: Corpus, config: Config) -> Inspection:
  """Inspects a corpus, and the files that `config.data` names.

  Args:
    corpus: loaded without a limit on the length of clips, see `feature_facts.uncut`.
    config: of the study.

  Raises:
    UserError: a file is malformed.
  """
  labelled = {name.rpartition('[')[0] for name in (*corpus.names, *corpus.left_out)}
  files = source_files.read_all(config, labelled)
  modalities, lengths = {}, {}
  for modality in corpus.clips.frames:
    modalities[modality], lengths[modality] = feature_facts.of_modality(corpus, modality, config)
  masked = _masked(corpus.names, lengths)
  rounded = collections.Counter(np.rint(corpus.labels).astype(int).tolist())
  found = len(corpus.names) + len(corpus.left_out)
  return Inspection(
    corpus_like=releases.corpus_like(len(labelled), found) if files else None,
    files=files,
    modalities=modalities,
    clips_found=found,
    clips_matched=len(corpus.names) - sum(group.count for group in masked),
    masked=masked,
    left_out=_by_reason(corpus.left_out),
    labels={label: rounded[label] for label in range(min(rounded), max(rounded) + 1)},
    num_labels=len(np.unique(corpus.labels)),
    speakers=dict(users_by_clips(corpus)),
    protocols={name: _protocol(corpus, config, name) for name in ('leave_one_out', 'grouped')},
    mixtures=tuple(releases.mixtures(files, {m: f.lengths[50] for m, f in modalities.items()})),
    notes=corpus.notes,
  )


def steps(inspection: Inspection) -> dict[str, int]:
  """{modality: steps of its longest clip}, after cutting."""
  return {
    modality: int(min(facts.lengths[100], facts.max_steps or np.inf))
    for modality, facts in inspection.modalities.items()
  }


def _masked(names: Sequence[str], lengths: Mapping[str, np.ndarray]) -> tuple[Group, ...]:
  """The clips that lack modalities, by which they lack."""
  lacking = {}
  for place, name in enumerate(names):
    missing = [modality for modality, each in lengths.items() if not each[place]]
    if missing:
      lacking[name] = f'no frame of {", ".join(missing)}'
  return _by_reason(lacking)


def _by_reason(reasons: Mapping[str, str]) -> tuple[Group, ...]:
  """Groups {clip: reason} by the reasons, whatever the numbers in them."""
  clips = collections.defaultdict(list)
  for name, reason in reasons.items():
    clips[re.sub(r'-?\d+(\.\d+)?', '…', reason)].append(name)
  return tuple(_group(reason, names) for reason, names in clips.items())


def _group(what: str, names: Sequence[str]) -> Group:
  return Group(what, len(names), tuple(names[:NUM_FIRST]))


def _users(what: str, users: Sequence[tuple[str, int]]) -> Group:
  return _group(what, [f'{name} ({count})' for name, count in users])


def _protocol(corpus: Corpus, config: Config, protocol: str) -> ProtocolFacts:
  config = config.copy_and_resolve_references()
  config.study.protocol = protocol
  needed, users, problem = folds.clips_needed(config), users_by_clips(corpus), None
  if protocol == 'leave_one_out':
    first = config.study.first_user
    users = users[first : first + config.study.num_users]
  try:
    fold_plan.plan_folds(corpus, config)
  except UserError as error:
    problem = str(error)
  too_few = [user for user in users if user[1] < needed]
  return ProtocolFacts(
    clips_needed=needed,
    asked=_users(f'users of the protocol {protocol}', users),
    enough=len(users) - len(too_few),
    too_few=_users(f'fewer than {needed} clips', too_few),
    problem=problem,
  )
