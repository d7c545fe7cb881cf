"""The report's files: their parts in order, and what an unfinished study is told."""

import re
import xml.etree.ElementTree

import pytest
from studies import CONFIG, ENVIRONMENT, GROUPED, sections, text, write

from persona_jax import files
from persona_jax.reporting import report, results

NAMES = ('speakers', 'shots', 'draws', 'scatter', 'attention', 'learning')  # in order


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """A study with everything that a report can have."""
  workdir = write(
    tmp_path_factory.mktemp('run'),
    ('baseline', 'mean_shift', 'fs_ua', 'fs_ua_kd'),
    all_shots=(1, 5),
    oracle_mae=dict.fromkeys(('ann', 'bo', 'cy'), 0.1),
  )
  table = [[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]]
  maps = dict(
    before={'audio': table, 'vision': table[:1]}, after={'audio': table[::-1], 'vision': table[1:]}
  )
  files.write_json(workdir / files.ATTENTION, dict(user='ann', arm='fs_ua', clip='ann[3]') | maps)
  report.write([workdir], workdir)
  return workdir


def read(workdir, name):
  return (workdir / name).read_text()


ORDER = [
  '# Leave-one-speaker-out study',
  'Five clips (FS-UA-KD) lower the error (MAE) from ',
  '3 held-out speakers of 9, 90 clips; ',
  'figure speakers',
  '## Table 3. Means over users',
  '### Paired differences from the baseline',
  '## MAE by the number of support clips',
  'figure shots',
  '## Which differences in MAE are real',
  '## Share of the possible gain',
  '## More figures',
  *(f'figure {name}' for name in NAMES[2:]),
  '## Table 1. Baseline, per user',
  'details',
  '## Table 2. FS-UA, per user',
  'details',
  '## Notes',
  'Intervals come from a bootstrap ',
]


def test_the_markdown_opens_with_the_answer_and_ends_with_the_notes(workdir):
  blocks = read(workdir, files.REPORT).split('\n\n')
  assert [block for block in blocks if re.match('#', block)] == [
    part for part in ORDER if part.startswith('#')
  ]
  places = []
  for part in ORDER:
    kind, _, name = part.partition(' ')
    sought = {'figure': f'](figures/{name}.svg)', 'details': '<details>'}.get(kind, part)
    start = places[-1] + 1 if places else 0
    places.append(next(n for n, block in enumerate(blocks[start:], start) if sought in block))
  assert places[:4] == [0, 1, 2, 3]


def test_the_page_has_the_same_parts_in_the_same_order(workdir):
  page = read(workdir, files.PAGE)
  body, place = page[page.index('<body>') :], 0
  for part in ORDER:
    kind, _, name = part.partition(' ')
    marks = {'#': '<h1>', '##': '<h2>', '###': '<h3>'}
    sought = marks[kind] + name if kind in marks else part
    sought = {'figure': f'aria-labelledby="{name}-caption"', 'details': '<details>'}.get(
      kind, sought
    )
    place = body.index(sought, place) + 1
  assert '</h1>\n<p>Five clips' in body
  assert len(re.findall(r'<h\d>', body)) == sum(part.startswith('#') for part in ORDER)


def test_tables_per_user_are_folded(workdir):
  """In both files, the two and no other; each opens with its header and ends with its mean."""
  page, markdown = read(workdir, files.PAGE), read(workdir, files.REPORT)
  folded = re.findall('<details>\n(.*?)</details>', page, re.DOTALL)
  assert len(folded) == 2
  for part in folded:
    assert part.startswith('<summary>3 users and the mean</summary>\n<div class="wide"')
    assert part.count('<table>') == 1 and '<th scope="row">mean</th>' in part
    for user in ('1: ann', '2: bo', '3: cy'):
      assert f'<th scope="row">{user}</th>' in part
  folded = re.findall('\n\n<details>\n(.*?)\n</details>\n\n', markdown, re.DOTALL)
  assert len(folded) == 2
  for part in folded:
    assert part.startswith('<summary>3 users and the mean</summary>\n\n| user | MAE |')
    assert part.rstrip().splitlines()[-1].startswith('| mean |') and part.endswith('\n')


GROUPED_ORDER = [
  '# Study of held-out groups of speakers',
  'Five clips (Bayes) lower the error (MAE) from ',
  '3 held-out speakers of 9, 90 clips; ',
  'figure speakers',
  '## Table 3. Means over users',
  '### Paired differences from the baseline',
  '### Paired differences from the calibrated baseline',
  '## Where the gain comes from',
  'figure sources',
  '## MAE by the number of support clips',
  'figure shots',
  'figure gains',
  '## Which differences in MAE are real',
  '## Predictive intervals',
  'figure coverage',
  '## More figures',
  'figure draws',
  'figure scatter',
  'figure learning',
  '## Per user: Baseline / Bayes',
  'details',
  '## Notes',
]


def test_a_grouped_study_of_personas_has_their_sections_and_figures(tmp_path):
  arms = ('baseline', 'calibrated', 'label_mean', 'joint', 'bayes')
  workdir = write(tmp_path, arms, all_shots=(1, 5), gain=0.1, config=GROUPED)
  report.write([workdir], workdir)
  markdown, page, place, spot = read(workdir, files.REPORT), read(workdir, files.PAGE), 0, 0
  page = page[page.index('<body>') :]
  for part in GROUPED_ORDER:
    kind, _, name = part.partition(' ')
    sought = {'figure': f'](figures/{name}.svg)', 'details': '<details>'}.get(kind, part)
    place = markdown.index(sought, place) + 1
    sought = {'figure': f'"{name}-caption"', 'details': '<details>'}.get(kind, part.lstrip('# '))
    spot = page.index(sought, spot) + 1
  headings = [line for line in markdown.splitlines() if line.startswith('#')]
  assert headings == [part for part in GROUPED_ORDER if part.startswith('#')]
  assert '<title>Study of held-out groups of speakers</title>' in read(workdir, files.PAGE)
  assert markdown.count('<details>') == 1 and markdown.count('](figures/') == 8
  assert 'held-out group of speakers.](figures/learning.svg)' in markdown
  assert '- attention: ' in markdown and '- coverage' not in markdown
  assert markdown.count('| --- |\n') == 10


def test_sections_of_personas_are_not_in_a_study_without_them(tmp_path):
  told = text(write(tmp_path, all_shots=(1, 5)))
  for word in ('calibrat', 'Predictive', 'gain comes', 'coverage', 'sources', 'gains'):
    assert word not in told
  arms = ('baseline', 'bayes')
  told = text(write(tmp_path / 'personas', arms, all_shots=(1, 5)))
  assert '# Leave-one-speaker-out study' in told and '## Table 1. Baseline, per user' in told
  assert '- sources: needs records of the baseline, of a control' in told


def test_the_difference_by_clips_is_drawn_where_groups_or_personas_are(tmp_path):
  for name, arms, config, drawn in (
    ('paper', ('baseline', 'fs_ua'), CONFIG, False),
    ('personas', ('baseline', 'bayes'), CONFIG, True),
    ('groups', ('baseline', 'fs_ua'), GROUPED, True),
  ):
    workdir = write(tmp_path / name, arms, all_shots=(1, 5), draws=1, config=config)
    made = report.pictures(results.load([workdir]))['gains']()
    assert (made is not None) == drawn, name


def test_every_figure_is_drawn_and_is_in_the_page(workdir):
  drawn = {path.stem: path for path in (workdir / files.FIGURES).iterdir()}
  assert set(drawn) == set(NAMES)
  for path in drawn.values():
    assert xml.etree.ElementTree.parse(path).getroot().tag.endswith('svg')
    assert '<!--' not in path.read_text()
  page = read(workdir, files.PAGE)
  assert page.count('<svg') == page.count('<figcaption') == len(NAMES)
  assert page.count('<table>') == read(workdir, files.REPORT).count('| --- |\n') == 7
  assert 'Not drawn' not in page


def test_the_page_is_one_file_that_asks_for_nothing(workdir):
  page = read(workdir, files.PAGE)
  assert not re.search(r'<script|<link|<img|src="|@import|url\((?!#)', page)
  identifiers = re.findall(r'\bid="([^"]+)"', page)
  assert len(identifiers) == len(set(identifiers))
  asked = re.findall(r'(?:url\(#|href="#|aria-labelledby=")([^)"]+)', page)
  assert set(asked) <= set(identifiers) and {f'{name}-caption' for name in NAMES} <= set(asked)


def test_the_same_records_give_the_same_bytes(workdir):
  before = {path: path.read_bytes() for path in workdir.rglob('*') if path.is_file()}
  assert report.write([workdir], workdir) == read(workdir, files.REPORT)
  assert {path: path.read_bytes() for path in before} == before


def test_a_study_still_running_is_reported_with_what_is_missing(tmp_path):
  workdir = write(tmp_path, users=('bo',), arms=('baseline',))
  told = report.write([workdir], workdir)
  assert 'there are no records of a personalised arm to compare with.' in told.split('\n\n')[1]
  assert 'No records yet of ann, cy.' in told and 'No records of the arm `fs_ua` yet.' in told
  assert '- speakers: needs records of the baseline and of' in told
  assert '- attention: made at the end' in told and '- learning:' not in told
  assert {path.stem for path in (workdir / files.FIGURES).iterdir()} == {'draws', 'learning'}
  assert '<div class="beside">' not in read(workdir, files.PAGE)  # nothing stands beside the answer


def test_one_arm_without_the_baseline(tmp_path):
  told = text(write(tmp_path, arms=('fs_ua',)))
  assert 'there are no records of the baseline to compare with.' in told.split('\n\n')[1]
  assert 'No records of the arm `baseline` yet.' in told and 'No arms to compare yet.' in told
  assert '- scatter: needs records of the baseline' in told
  assert 'Which differences' not in told


@pytest.mark.parametrize('shots', [(), (1,)])
def test_no_records_of_the_number_of_clips_that_the_tables_are_of(tmp_path, shots):
  """None at all, or those of one clip, where the config says five."""
  workdir = write(tmp_path, arms=('fs_ua',), all_shots=shots)
  told = report.write([workdir], workdir)
  assert told.split('\n\n')[1] == 'There are no records with five clips yet.'
  assert '## Table 3' not in told and '- draws: needs records.' in told
  assert list(sections(told))[-1] == 'Notes'


def test_a_run_of_version_0_1_is_reported(tmp_path):
  workdir = write(tmp_path)
  files.write_json(workdir / files.CONFIG, dict(seed=0, study=dict(num_support=5)))
  old = {name: value for name, value in ENVIRONMENT.items() if name != 'config_hash'}
  files.write_json(workdir / files.ENVIRONMENT, old)
  (workdir / files.CURVES).unlink()
  told = text(workdir)
  assert 'Seeds 0; config unknown' in told and '- learning: needs a fold' in told


def test_jobs_of_some_folds_each_make_the_report_of_the_whole_study(tmp_path):
  one = write(tmp_path / 'one', users=('ann', 'bo'))
  two = write(tmp_path / 'two', users=('cy',))
  merged, whole = text(one, two), text(write(tmp_path / 'whole'))
  assert merged == whole and '3 held-out speakers' in merged
