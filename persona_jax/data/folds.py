"""Folds of held-out speakers, as index arrays into the corpus."""

import dataclasses
from collections.abc import Collection

import numpy as np

from persona_jax import config as config_lib
from persona_jax.data.corpus import Corpus, users_by_clips
from persona_jax.errors import UserError
from persona_jax.types import Config

SPLIT, DRAW, EPOCH, OTHER, TEACHER, BUCKETS = range(6)  # what a random stream is for
MIN_QUERY = 5  # clips that a user of a group keeps for scoring, whatever the number of shots


@dataclasses.dataclass(frozen=True, eq=False)
class User:
  """A speaker to personalise to.

  Attributes:
    name: the speaker.
    rank: the speaker's place by number of clips, 0 for the most.
    clips: [n] clips of the speaker, as indices into the corpus.
  """

  name: str
  rank: int
  clips: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Fold:
  """One or more held-out speakers and one seed. Clips are indices into the corpus.

  Attributes:
    name: of the fold's checkpoints.
    label: what a person calls the fold: its held-out speaker, or the number of its group.
    rank: the number of the fold, from 0: of the user by number of clips, or of the group.
    seed: of the split and the draws.
    teacher: number of the predictor that is trained on the fold, from 0. Those of a fold differ in
      their initial parameters, the order of clips and dropout.
    train: [n] clips of the other speakers, to learn from.
    valid: [V] other clips, to choose the epoch by: of the same speakers as `train`, or of speakers
      whom neither training nor testing uses (`config.pretrain.validation`).
    held_out: [n] clips of the held-out speakers, in the corpus's order.
    users: the held-out speakers who have enough clips to personalise to.
  """

  name: str
  label: str
  rank: int
  seed: int
  teacher: int
  train: np.ndarray
  valid: np.ndarray
  held_out: np.ndarray
  users: tuple[User, ...]

  @property
  def training_seed(self) -> int:
    """The seed of the initial parameters, the order of clips and dropout; first, it is `seed`."""
    if not self.teacher:
      return self.seed
    sequence = np.random.SeedSequence([self.seed, TEACHER, self.teacher])
    return int(sequence.generate_state(1)[0] >> 1)  # fits int32, as on the device

  def of_teacher(self, number: int) -> 'Fold':
    """The same fold, for another teacher to be trained on; number 0 is the first."""
    assert not self.teacher
    if not number:
      return self
    return dataclasses.replace(self, name=f'{self.name}_teacher_{number}', teacher=number)

  @property
  def cases(self) -> tuple['Case', ...]:
    """The fold's users."""
    single = len(self.users) == 1
    return tuple(
      Case(self.name if single else f'{self.name}_user_{user.rank:02d}', self, user)
      for user in self.users
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
  """One user of a fold: what is personalised and scored.

  Attributes:
    name: of the case's checkpoints.
  """

  name: str
  fold: Fold
  user: User

  @property
  def places(self) -> np.ndarray:
    """The places [n] of the user's clips in `Fold.held_out`."""
    return np.searchsorted(self.fold.held_out, self.user.clips)


def make_folds(corpus: Corpus, config: Config) -> tuple[Fold, ...]:
  """Makes the folds of `config.study`, one for each held-out speaker or group, and seed.

  Raises:
    UserError: the corpus has too few speakers.
  """
  if config.study.protocol == 'grouped':
    held_out = _groups(corpus, config)
  else:
    held_out = _single_speakers(corpus, config)
  grouped, needed = config.study.protocol == 'grouped', clips_needed(config)
  folds = []
  for rank, users in held_out.items():
    for seed in config_lib.seeds(config):
      train, valid = split(corpus, {user.name for user in users}, config.pretrain, seed, rank)
      fold = Fold(
        name=f'{"group" if grouped else "fold"}_{rank:02d}_seed_{seed}',
        label=f'group {rank}' if grouped else users[0].name,
        rank=rank,
        seed=seed,
        teacher=0,
        train=train,
        valid=valid,
        held_out=np.sort(np.concatenate([user.clips for user in users])),
        users=tuple(user for user in users if not grouped or len(user.clips) >= needed),
      )
      assert_held_out(fold, corpus)
      folds.append(fold)
  return tuple(folds)


def _ranked_users(corpus: Corpus) -> list[User]:
  """All speakers, most clips first."""
  speakers = np.array(corpus.speakers)
  return [
    User(name, rank, np.flatnonzero(speakers == name))
    for rank, (name, _) in enumerate(users_by_clips(corpus))
  ]


def _single_speakers(corpus: Corpus, config: Config) -> dict[int, list[User]]:
  """{rank: [speaker]} of the `num_users` speakers with most clips (paper, section 5.1)."""
  users, study = _ranked_users(corpus), config.study
  end = study.first_user + study.num_users
  if len(users) < max(end, study.num_users + 1):
    raise UserError(
      f'the corpus has {len(users)} speakers, too few for config.study.num_users = '
      f'{study.num_users} from config.study.first_user = {study.first_user} on and somebody to '
      'learn from; ask for fewer users.'
    )
  return {user.rank: [user] for user in users[study.first_user : end]}


def _groups(corpus: Corpus, config: Config) -> dict[int, list[User]]:
  """{number: speakers}: every speaker goes to the group with the fewest clips, most clips first."""
  users, num_groups = _ranked_users(corpus), config.study.num_groups
  if len(users) < num_groups:
    raise UserError(
      f'the corpus has {len(users)} speakers, too few for config.study.num_groups = {num_groups}; '
      'ask for fewer groups.'
    )
  groups: dict[int, list[User]] = {number: [] for number in range(num_groups)}
  sizes = [0] * num_groups
  for user in users:
    smallest = int(np.argmin(sizes))
    groups[smallest].append(user)
    sizes[smallest] += len(user.clips)
  return groups


def clips_needed(config: Config) -> int:
  """The clips that a user of the study must have, to personalise on and to score."""
  if config.study.protocol == 'grouped':
    return config.study.num_support + MIN_QUERY
  return max(config_lib.shots(config)) + 1


def split(
  corpus: Corpus, held_out: Collection[str], config: Config, seed: int, rank: int
) -> tuple[np.ndarray, np.ndarray]:
  """Splits the clips of the speakers who are not held out into training and validation.

  Args:
    config: `config.pretrain`.
  """
  others = np.flatnonzero([speaker not in held_out for speaker in corpus.speakers])
  random = np.random.default_rng([seed, SPLIT, rank])
  if config.validation == 'clips':
    shuffled = random.permutation(others)
    cut = round(config.train_fraction * len(others))
    return np.sort(shuffled[:cut]), np.sort(shuffled[cut:])
  speakers = np.array(corpus.speakers)[others]
  names = random.permutation(np.unique(speakers))
  counts = np.array([(speakers == name).sum() for name in names])
  # As many speakers as it takes to reach the share, and at least one speaker to learn from.
  enough = 1 + int(np.searchsorted(counts.cumsum(), config.valid_speakers * len(others)))
  validates = np.isin(speakers, names[: min(enough, len(names) - 1)])
  return others[~validates], others[validates]


def assert_held_out(fold: Fold, corpus: Corpus) -> None:
  """Asserts that the parts are disjoint, and that no held-out speaker trains or validates."""
  speakers = np.array(corpus.speakers)
  seen = set(speakers[np.concatenate([fold.train, fold.valid])])
  leaking = seen & set(speakers[fold.held_out])
  assert not leaking, f'{sorted(leaking)} leak into the training of their own fold'
  parts = np.concatenate([fold.train, fold.valid, fold.held_out])
  assert len(np.unique(parts)) == len(parts) == len(corpus.names)
  for user in fold.users:
    assert np.isin(user.clips, fold.held_out).all() and set(speakers[user.clips]) == {user.name}


def epoch_order(fold: Fold, epoch: int) -> np.ndarray:
  """Returns the training clips [n] in the order of one epoch.

  The order depends on (training seed, rank, epoch) alone.
  """
  random = np.random.default_rng([fold.training_seed, EPOCH, fold.rank, epoch])
  return random.permutation(fold.train)
