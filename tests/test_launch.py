"""What the launchers do, print, leave and refuse."""

import csv
import json
import signal
import time

import pytest
from launchers import complaint, run, start
from makers import write_corpus

@pytest.fixture(scope='module', params=['synthetic', 'mosi'])
def flags(request, tmp_path_factory):
  """--config of every config's smoke, with files made for it where it reads files."""
  chosen = [f'--config=configs/{request.param}.py:smoke']
  if request.param == 'mosi':
    root = tmp_path_factory.mktemp('mosi')
    files = write_corpus(root, {f'video{i}': 8 + i for i in range(6)})
    chosen += [f'--config.data.root={root}',
               *(f'--config.data.{field}={name}' for field, name in files.items())]
  return chosen


@pytest.fixture(scope='module')
def workdir(flags, tmp_path_factory):
  """A study that ran to its end."""
  workdir = tmp_path_factory.mktemp('study')
  run('pretrain', *flags, f'--workdir={workdir}')
  report = run('study', *flags, f'--workdir={workdir}')
  assert report.startswith('# Leave-one-speaker-out study') and '## Table 3' in report
  return workdir


def records_of(workdir):
  return [json.loads(line) for line in (workdir / 'records.jsonl').read_text().splitlines()]


def test_study_leaves_every_file(workdir):
  assert {path.name for path in workdir.iterdir()} == {
      '.lock', 'checkpoints', 'config.json', 'corpus.json', 'curves.csv', 'environment.json', 'figures',
      'predictions.csv', 'records.jsonl', 'report.html', 'report.md'}
  assert {'jax', 'flax'} < set(json.loads((workdir / 'environment.json').read_text())['packages'])


def test_every_draw_has_its_arms_on_the_same_query_clips(workdir):
  with (workdir / 'predictions.csv').open() as file:
    rows = list(csv.DictReader(file))
  queries = {}
  for row in rows:
    queries.setdefault((row['user'], row['draw']), {}).setdefault(row['arm'], []).append(row['clip'])
  assert len(queries) == 3 * 2
  for (user, _), arms in queries.items():
    assert set(arms) == {'baseline', 'fs_ua', 'fs_ua_kd'}
    assert arms['baseline'] == arms['fs_ua'] == arms['fs_ua_kd']
    assert all(clip.startswith(f'{user}[') for clip in arms['baseline'])
  own = json.loads((workdir / 'corpus.json').read_text())['users']
  for record in records_of(workdir):
    assert record['num_query'] == own[record['user']] - record['num_support']


def test_report_again_is_the_same(workdir):
  before = (workdir / 'report.md').read_text()
  assert run('report', f'--workdir={workdir}') == before + '\n'


def test_study_again_changes_nothing(flags, workdir):
  before = (workdir / 'records.jsonl').read_bytes(), (workdir / 'predictions.csv').read_bytes()
  run('study', *flags, f'--workdir={workdir}')
  assert before == ((workdir / 'records.jsonl').read_bytes(),
                    (workdir / 'predictions.csv').read_bytes())


def test_adapt_and_predict_agree_with_the_study(flags, workdir):
  """The same draw, personalised alone, predicts what the study's batch of draws did."""
  user = records_of(workdir)[-1]['user']
  common = [*flags, f'--workdir={workdir}', f'--user={user}']
  assert f'# {user}' in run('adapt', *common, '--draw=1', '--arm=fs_ua_kd')
  alone = {row['clip']: row for row in csv.DictReader(
      run('predict', *common, '--arm=fs_ua_kd').splitlines())}
  assert sum(int(row['in_support']) for row in alone.values()) == 5
  with (workdir / 'predictions.csv').open() as file:
    for row in csv.DictReader(file):
      if (row['user'], row['draw'], row['arm']) == (user, '1', 'fs_ua_kd'):
        mine = alone[row['clip']]
        assert mine['in_support'] == '0'
        assert float(mine['prediction']) == pytest.approx(float(row['prediction']), abs=1e-4)


def test_predict_writes_a_file(flags, workdir, tmp_path):
  user = records_of(workdir)[0]['user']
  output = tmp_path / 'out.csv'
  run('predict', *flags, f'--workdir={workdir}', f'--user={user}', f'--output={output}')
  assert output.read_text().startswith('clip,label,prediction,in_support\n')


def test_another_config_is_refused_in_the_same_workdir(flags, workdir):
  assert 'config.adapt.num_steps is 3 there and 4 now' in complaint(
      'study', *flags, f'--workdir={workdir}', '--config.adapt.num_steps=4')


def test_unknown_users_and_clips_are_named(flags, workdir):
  common = [*flags, f'--workdir={workdir}']
  assert "user 'nobody' is none of the study's; they are" in complaint(
      'adapt', *common, '--user=nobody')
  user = records_of(workdir)[0]['user']
  assert "support clip 'x[1]' is no clip of user" in complaint(
      'adapt', *common, f'--user={user}', '--support=x[1]')


def test_check_data_shows_what_is_there(flags):
  assert '| language |' in run('check_data', *flags)


@pytest.mark.parametrize('flags, sentence', [
    (['--config=configs/nowhere.py'], 'nowhere.py'),
    (['--config=configs/synthetic.py:tiny'], "config mode 'tiny': expected"),
    (['--config.model.widht=3'], 'widht'),
    (['--config.model.width=wide'], 'wide'),
    (['--config.model.num_heads=7'], 'config.model.num_heads = 7: expected a divisor'),
    (['--config=configs/mosi.py'], 'config.data.root is empty'),
    (['--config=configs/mosi.py', '--config.data.root=/nowhere'], '/nowhere/CMU_MOSI_Opinion_Labels'),
    (['--config.study.num_users=40'], 'the corpus has 30 speakers'),
    (['stray'], "argument 'stray' is not a flag"),
])
def test_mistakes_end_with_one_sentence(flags, sentence, tmp_path):
  assert sentence in complaint('study', *flags, f'--workdir={tmp_path / "run"}')


def test_debug_shows_the_traceback(tmp_path):
  process = start('study', '--config=configs/mosi.py', f'--workdir={tmp_path}', '--debug')
  assert 'Traceback' in process.communicate()[1] and process.returncode == 1


@pytest.mark.parametrize('launcher', ['study', 'pretrain', 'adapt', 'predict', 'report',
                                      'check_data', 'benchmark'])
def test_help_is_there(launcher):
  text = run(launcher, '--help')
  assert '--[no]debug' in text and '--' + ('workdir' if launcher == 'report' else 'config') in text


@pytest.mark.parametrize('flags', ['synthetic'], indirect=True)
def test_benchmark_prints_a_line_a_shape(flags):
  line, = map(json.loads, run('benchmark', *flags, '--shape=config', '--repeats=1').splitlines())
  assert set(line) == {'shape', 'batch', 'layers', 'folds', 'device', 'train_step_s', 'eval_s',
                       'compile_s', 'peak_rss_mb', 'parameters'}
  assert line['shape'] == 'config' and line['batch'] == 32 and line['layers'] == 1
  assert 0 < line['eval_s'] < line['train_step_s'] < line['compile_s']


@pytest.mark.parametrize('flags', ['synthetic'], indirect=True)
@pytest.mark.parametrize('marker', [
    'checkpoints/pretrain/fold_00_seed_0', 'checkpoints/pretrain/fold_02_seed_0/1', 'checkpoints/adapt/fold_00_seed_0_adapter-base/1'])
def test_killed_in_any_stage_a_study_finishes_the_same(flags, workdir, marker, tmp_path):
  """Killed as soon as the stage's files begin to appear."""
  process = start('study', *flags, f'--workdir={tmp_path}')
  while not list(tmp_path.glob(f'{marker}*')):
    assert process.poll() is None
    time.sleep(0.01)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  assert not (tmp_path / 'records.jsonl').exists()
  run('study', *flags, f'--workdir={tmp_path}')
  for file in ('records.jsonl', 'predictions.csv'):
    assert (tmp_path / file).read_bytes() == (workdir / file).read_bytes()
