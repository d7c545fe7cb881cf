"""What studies and the commands after them do, leave and refuse."""

import csv
import hashlib
import json
import pathlib

import pooling
import pytest
from launchers import complaint, personalised_alone, run, start
from makers import SMALLEST, smallest_config, write_corpus

from persona_jax import arms
from persona_jax.study.user_session import UserSession


@pytest.fixture(scope='module', params=['synthetic', 'mosi'])
def flags(request, tmp_path_factory):
  """--config of every config's smoke; where it reads files, with files made for it.

  Those take the base model that compiles fast: loading doesn't depend on the model.
  """
  chosen = [f'--config=configs/{request.param}.py:smoke']
  if request.param == 'synthetic':
    return [*chosen, "--config.model.modalities=('language','audio')"]
  root = tmp_path_factory.mktemp('mosi')
  files = write_corpus(root, {f'video{i}': 8 + i for i in range(6)})
  return [
    *chosen,
    f'--config.model.name={pooling.NAME}',
    f'--config.data.root={root}',
    *(f'--config.data.{field}={name}' for field, name in files.items()),
  ]


WITH_MULT = pytest.mark.parametrize('flags', ['synthetic'], indirect=True)
WITHOUT_MULT = pytest.mark.parametrize('flags', ['mosi'], indirect=True)


@pytest.fixture(scope='module')
def workdir(flags, tmp_path_factory):
  """A study that ran to its end."""
  workdir = tmp_path_factory.mktemp('study')
  run('pretrain', *flags, f'--workdir={workdir}')
  report = run('study', *flags, '--config.study.attention', f'--workdir={workdir}')
  assert report.startswith('# Leave-one-speaker-out study') and '## Table 3' in report
  return workdir


def records_of(workdir):
  return [json.loads(line) for line in (workdir / 'records.jsonl').read_text().splitlines()]


def test_study_leaves_every_file(flags, workdir):
  files = {
    '.lock',
    'checkpoints',
    'config.json',
    'corpus.json',
    'curves.csv',
    'environment.json',
    'figures',
    'predictions.csv',
    'records.jsonl',
    'report.html',
    'report.md',
  }
  crossmodal = f'--config.model.name={pooling.NAME}' not in flags
  assert {path.name for path in workdir.iterdir()} == files | (
    {'attention.json'} if crossmodal else set()
  )
  assert {'jax', 'flax'} < set(json.loads((workdir / 'environment.json').read_text())['packages'])


def test_every_draw_has_its_arms_on_the_same_query_clips(workdir):
  with (workdir / 'predictions.csv').open() as file:
    rows = list(csv.DictReader(file))
  queries = {}
  for row in rows:
    queries.setdefault((row['user'], row['draw']), {}).setdefault(row['arm'], []).append(
      row['clip']
    )
  assert len(queries) == 3 * 2
  for (user, _), clips_of in queries.items():
    assert set(clips_of) == {'baseline', 'fs_ua', 'fs_ua_kd'}
    assert clips_of['baseline'] == clips_of['fs_ua'] == clips_of['fs_ua_kd']
    assert all(clip.startswith(f'{user}[') for clip in clips_of['baseline'])
  own = json.loads((workdir / 'corpus.json').read_text())['users']
  for record in records_of(workdir):
    assert record['num_query'] == own[record['user']] - record['num_support']


def test_report_again_is_the_same(workdir):
  before = (workdir / 'report.md').read_text()
  assert run('report', f'--workdir={workdir}') == before + '\n'


@WITH_MULT
def test_a_predictor_of_a_fold_agrees_with_the_study(flags, workdir, tmp_path):
  """The study's first user and draw, met by the predictor of the fold."""
  attention = json.loads((workdir / 'attention.json').read_text())
  user = records_of(workdir)[0]['user']
  assert attention['user'] == user and attention['arm'] == 'fs_ua_kd'
  assert '](figures/attention.svg)' in (workdir / 'report.md').read_text()
  for when in ('before', 'after'):
    assert set(attention[when]) == {'audio'}
  assert attention['before'] != attention['after']
  with (workdir / 'predictions.csv').open() as file:
    studys = {
      row['clip']: float(row['prediction'])
      for row in csv.DictReader(file)
      if (row['user'], row['draw'], row['arm']) == (user, '0', 'fs_ua_kd')
    }
  count = json.loads((workdir / 'corpus.json').read_text())['users'][user]
  support = [name for i in range(count) if (name := f'{user}[{i}]') not in studys]
  assert len(support) == 5 and attention['clip'] in studys
  alone = personalised_alone(flags, workdir, 'fold_00_seed_0', user, 'fs_ua_kd', support, tmp_path)
  assert len(alone) == count
  for clip, prediction in studys.items():
    assert alone[clip] == pytest.approx(prediction, abs=1e-5)


@WITH_MULT
def test_study_again_changes_nothing(flags, workdir):
  files = ('records.jsonl', 'predictions.csv', 'attention.json')
  before = [(workdir / file).read_bytes() for file in files]
  run('study', *flags, '--config.study.attention', f'--workdir={workdir}')
  assert before == [(workdir / file).read_bytes() for file in files]


@WITHOUT_MULT
def test_another_config_is_refused_in_the_same_workdir(flags, workdir):
  assert 'config.adapt.num_steps is 3 there and 4 now' in complaint(
    'study', *flags, f'--workdir={workdir}', '--config.adapt.num_steps=4'
  )


@WITHOUT_MULT
def test_unknown_folds_users_and_clips_are_named(flags, workdir, tmp_path):
  study, predictor = f'--study={workdir}', f'--predictor={tmp_path / "p"}'
  assert 'no fold fold_07; its folds are fold_00_seed_0, fold_01' in complaint(
    'train', *flags, study, '--fold=fold_07', predictor
  )
  assert 'name the workdir of its study' in complaint('train', '--fold=fold_07', predictor)
  assert 'no predictor; run launch.train first' in complaint('adapt', predictor, '--clips=x.csv')
  run('train', *flags, study, '--fold=fold_00_seed_0', predictor)
  common = [predictor, f'--users={tmp_path / "users"}']
  assert 'name either a CSV with --clips, or a corpus' in complaint('adapt', *common)
  assert "no such clip of user 'nobody'; the users are video0" in complaint(
    'adapt', *common, *flags, '--user=nobody'
  )
  assert "no clip 'x[1]'; the clips are" in complaint(
    'adapt', *common, *flags, '--user=video5', '--only=x[1]'
  )
  # The paper's validation by clips does not teach how people differ.
  assert 'was not validated on speakers' in complaint('adapt', *common, *flags, '--user=video5')
  rows = list(csv.DictReader(run('predict', *common, *flags, '--user=video5').splitlines()))
  assert rows and {(row['known'], row['low']) for row in rows} == {('0', '')}


def test_check_data_shows_what_is_there(flags, tmp_path):
  facts = tmp_path / 'facts.json'
  assert '| language |' in run('check_data', *flags, f'--clips={tmp_path}', f'--json={facts}')
  tables = sorted(tmp_path.glob('*.csv'))
  assert len(tables) == 6
  assert tables[0].read_text().startswith('clip,user,label,language,audio')
  assert json.loads(facts.read_text())['problem'] is None


def test_check_data_fails_where_a_study_cannot_run():
  process = start('check_data', *SMALLEST, '--config.study.num_users=6', '--json=-')
  printed, errors = process.communicate()
  assert process.returncode == 1
  problem = json.loads(printed)['problem']
  assert problem.startswith('the corpus has 6 speakers, too few for config.study.num_users = 6')
  assert errors == f'check_data: a study of this data cannot run: {problem}\n'


@WITHOUT_MULT
def test_check_data_verifies_files(flags, tmp_path):
  (root,) = [flag.partition('=')[2] for flag in flags if flag.startswith('--config.data.root')]
  content = (pathlib.Path(root) / 'words.csd').read_bytes()
  sums = tmp_path / 'SHA256SUMS'
  sums.write_text(f'{hashlib.sha256(content).hexdigest()}  words.csd\n')
  assert 'SHA256SUMS lists them: 1 of 1.' in run('check_data', *flags, f'--sha256sums={sums}')
  sums.write_text(f'{"0" * 64}  words.csd\n')
  assert 'different: words.csd' in complaint('check_data', *flags, f'--sha256sums={sums}')


# Without those that need speakers to validate on; see tests/study/test_personas.py.
PAPERS_ARMS = (arms.BASELINE, arms.MEAN_SHIFT, *arms.FINE_TUNED)


def test_every_arm_and_shots_and_seeds_in_one_study(tmp_path):
  """A user personalised alone is as in the study."""
  flags = [
    *SMALLEST,
    f'--config.study.arms={",".join(PAPERS_ARMS)}',
    '--config.study.num_support=2',
    '--config.study.shots=5,2',
    '--config.study.seeds=0,1',
    '--config.study.attention',
    f'--workdir={tmp_path}',
  ]
  report = run('study', *flags)
  assert all(f'| {arms.NAMES[arm]} |' in report for arm in PAPERS_ARMS)
  assert '| arm | 2 clips | 5 clips |' in report and 'does not beat the mean shift' in report
  assert '- attention: made at the end of a study' in report  # of another base model
  trials = {
    (r['user'], r['arm'], r['seed'], r['draw'], r['num_support']) for r in records_of(tmp_path)
  }
  assert len(trials) == len(records_of(tmp_path)) == 3 * 2 * 2 * (1 + 2 * (len(PAPERS_ARMS) - 1))
  with (tmp_path / 'predictions.csv').open() as file:
    rows = list(csv.DictReader(file))
  queries = {}
  for row in rows:
    trial = queries.setdefault((row['user'], row['seed'], row['draw']), {})
    trial.setdefault((row['arm'], row['num_support']), []).append(row['clip'])
  assert all(
    clips == trial['baseline', '2'] for trial in queries.values() for clips in trial.values()
  )
  for arm in PAPERS_ARMS[1:]:  # fewer shots are another personalisation
    few, many = (
      [r['prediction'] for r in rows if (r['arm'], r['num_support']) == (arm, shots)]
      for shots in '25'
    )
    assert len(few) == len(many) and few != many, arm
  user = rows[-1]['user']
  config = smallest_config(
    arms=PAPERS_ARMS, num_support=2, shots=(5, 2), seeds=(0, 1), attention=True
  )
  session = UserSession.open(config, tmp_path, user)
  alone = personalised_alone(
    flags[:-1],
    tmp_path,
    session.case.fold.name,
    user,
    'fs_ua_token',
    session.support_of_draw(1),
    tmp_path,
  )
  mine = [
    row
    for row in rows
    if (row['user'], row['arm'], row['seed'], row['draw'], row['num_support'])
    == (user, 'fs_ua_token', '0', '1', '2')
  ]
  assert mine
  for row in mine:
    assert float(row['prediction']) == pytest.approx(alone[row['clip']], abs=1e-4)
