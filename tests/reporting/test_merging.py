"""Parts of one study are merged; parts of two are refused."""

import copy

import pytest
from studies import CONFIG, ENVIRONMENT, text, write

from persona_jax import files
from persona_jax.errors import UserError
from persona_jax.reporting import report, results

DATA = dict(fingerprint={'clips': 'c' * 64, 'labels': '1' * 64, 'audio': 'a' * 64})


def config(**fields):
  """`CONFIG` with fields such as `study__folds`."""
  changed = copy.deepcopy(CONFIG)
  for name, value in fields.items():
    *groups, last = name.split('__')
    place = changed
    for group in groups:
      place = place.setdefault(group, {})
    place[last] = value
  return changed


def parts(tmp_path, first, second, data=DATA):
  """Two workdirs of one study's users."""
  return [
    write(tmp_path / 'one', users=('ann',), config=first, **DATA),
    write(tmp_path / 'two', users=('bo', 'cy'), config=second, **data),
  ]


@pytest.mark.parametrize(
  'fields',
  [
    dict(study__folds=[1, 2]),
    dict(study__seeds=[0]),
    dict(seed=3),
    dict(data__root='/elsewhere'),
    dict(study__attention=False),
  ],
)
def test_parts_of_one_study_are_merged(tmp_path, fields):
  workdirs = parts(tmp_path, config(), config(**fields))
  merged = text(*workdirs)
  assert '3 held-out speakers of 9' in merged and 'No records yet' not in merged


@pytest.mark.parametrize(
  'fields, said',
  [
    (
      dict(pretrain__learning_rate=0.01),
      'config.pretrain.learning_rate is unknown in the first and 0.',
    ),
    (dict(study__num_support=6), 'config.study.num_support is 5 in the first and 6 in the second'),
    (dict(data__seed=1), 'config.data.seed is unknown in the first and 1 in the second'),
  ],
)
def test_parts_of_two_configs_are_refused(tmp_path, fields, said):
  workdirs = parts(tmp_path, config(), config(**fields))
  with pytest.raises(UserError, match='one and .*two are not parts of one study: ' + said):
    report.write(workdirs, workdirs[0])
  assert not (workdirs[0] / files.REPORT).exists()


def test_parts_of_two_corpora_are_refused(tmp_path):
  other = dict(fingerprint=DATA['fingerprint'] | {'audio': 'b' * 64}, num_clips=89)
  workdirs = parts(tmp_path, config(), config(), other)
  with pytest.raises(
    UserError,
    match=r"data fingerprint.audio is 'aaaaaaaaaaa\.\.\. in the first and "
    r"'bbbbbbbbbbb\.\.\. in the second, data num_clips is 90 in the first and 89",
  ):
    results.load(workdirs)


def test_a_part_of_version_0_1_is_no_part_of_a_newer_study(tmp_path):
  """It has no fingerprint; alone it can be reported, and with others like it."""
  workdirs = parts(tmp_path, config(), config(), {})
  with pytest.raises(
    UserError, match='data fingerprint.audio is .* in the first and unknown in the'
  ):
    results.load(workdirs)
  old = write(tmp_path / 'three', users=('ann',), config=config())
  assert '3 held-out speakers' in text(workdirs[1], old)


def test_environments_that_differ_are_all_noted(tmp_path):
  workdirs = parts(tmp_path, config(), config(study__folds=[1, 2]))
  files.write_json(
    workdirs[1] / files.ENVIRONMENT,
    ENVIRONMENT
    | dict(packages={'jax': '0.11'}, devices=['NVIDIA'], commit='f00', config_hash='def'),
  )
  notes = text(*workdirs).split('## Notes')[1]
  assert '- Seeds 0; config abc, def.\n' in notes
  assert 'one: commit unknown, made with Python 3.11, jax 0.10, on 2 x cpu.\n' in notes
  assert 'two: commit f00, made with Python 3.11, jax 0.11, on 1 x NVIDIA.\n' in notes
  files.write_json(workdirs[1] / files.ENVIRONMENT, ENVIRONMENT)
  alike = text(*workdirs)
  assert (
    '- Seeds 0; config abc, commit unknown.\n- Made with Python 3.11, jax 0.10, on 2 x cpu.'
  ) in alike


def test_parts_of_other_training_steps_are_refused(tmp_path):
  """A study that grew keeps its steps per epoch; begun with all its users it would have more."""
  workdirs = [
    write(tmp_path / 'one', users=('ann',), batches=[26], **DATA),
    write(tmp_path / 'two', users=('bo', 'cy'), batches=[27], **DATA),
  ]
  with pytest.raises(UserError, match='data batches is .26. in the first and .27. in the second'):
    report.write(workdirs, workdirs[0])
