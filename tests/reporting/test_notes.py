"""What a report says of preprocessing, of the mean shift and of reproducing it."""

import pathlib
import re

from studies import CONFIG, GROUPED, sections, text, write

from persona_jax.reporting import explanations, notes


def said(workdir, **config):
  return sections(text(write(workdir, config=CONFIG | config)))['Notes']


def test_preprocessing_is_told(tmp_path):
  words = said(
    tmp_path,
    normalise=dict(modalities=['audio', 'vision'], deviation=0.2, limit=3.0),
    data=dict(frames_per_second=dict(language=None, audio=12.5, vision=15.0)),
  )
  assert (
    '- Every column of audio and vision is standardised over the training clips of its fold, '
    'scaled to a standard deviation of 0.2 and clipped at 3 standard deviations; language is '
    'unchanged.\n'
  ) in words
  assert (
    '- Within each clip, frames at a higher rate are averaged to 12.5 per second (audio) and '
    '15 per second (vision); frames of language are taken as they are.\n'
  ) in words


def test_frames_without_times_are_not_averaged(tmp_path):
  rates = dict(language=None, audio=12.5, vision=15.0)
  words = said(tmp_path, data=dict(frames_per_second=rates, file='mosi_data.pkl'))
  assert 'frames at a higher rate' not in words


def test_of_the_modalities_in_use(tmp_path):
  words = said(
    tmp_path,
    model=dict(modalities=['audio']),
    data=dict(frames_per_second=dict(language=None, audio=12.5, vision=15.0)),
    normalise=dict(modalities=[], deviation=0.2, limit=3.0),
  )
  assert '- Features of audio enter the model as they are in the files.\n' in words
  assert (
    '- Within each clip, frames at a higher rate are averaged to 12.5 per second (audio).\n'
    in words
  )


def test_older_workdirs_say_nothing_of_it(tmp_path):
  words = said(tmp_path)
  assert 'standardised' not in words and 'averaged' not in words
  assert words.count(notes.REPRODUCIBILITY) == 1


def test_what_is_reproducible_is_what_the_launchers_readme_measured():
  readme = (pathlib.Path(__file__).parents[2] / 'launch' / 'README.md').read_text()
  (told,) = re.findall(r'standard deviations of (\d\.\d+), (\d\.\d+) and (\d\.\d+)', readme)
  baseline, *personalised = (f'{float(value):.2f}' for value in told)
  assert f'{baseline} for the baseline' in notes.REPRODUCIBILITY
  assert {f'{value} for personalised arms' in notes.REPRODUCIBILITY for value in personalised} == {
    True
  }
  for words in ('identical bytes', 'Another number of devices', 'another machine', 'five seeds'):
    assert words in notes.REPRODUCIBILITY


def test_the_mean_shift_has_its_caveat_beside_every_comparison(tmp_path):
  arms, oracle = ('baseline', 'mean_shift', 'fs_ua'), {user: 0.1 for user in ('ann', 'bo', 'cy')}
  titles = (
    'Table 3. Means over users',
    'MAE by the number of support clips',
    'Which differences in MAE are real',
    'Share of the possible gain',
  )
  parts = sections(text(write(tmp_path / 'with', arms, all_shots=(1, 5), oracle_mae=oracle)))
  for title in titles:
    assert parts[title].count(explanations.CAVEAT) == 1, title
  assert explanations.MEAN_SHIFT_NOTE in parts['Notes']
  assert 'FS-UA beats the mean shift' in parts['Which differences in MAE are real']
  without = text(write(tmp_path / 'without', all_shots=(1, 5), oracle_mae=oracle))
  assert set(titles) <= set(sections(without))
  assert 'mean shift' not in without


def test_a_grouped_study_says_who_was_held_out_and_whose_means_the_papers_are(tmp_path):
  words = sections(text(write(tmp_path / 'a', ('baseline', 'mean_shift'), config=GROUPED)))['Notes']
  assert (
    '- Speakers are held out in 2 groups. The model that predicts for a user was trained on no '
    'speaker of the group.\n'
  ) in words
  assert 'users unnamed) are means over its ten users, each held out alone, and not' in words
  assert 'by rank' not in words and explanations.MEAN_SHIFT_NOTE not in words
  words = said(tmp_path / 'b')
  assert 'groups' not in words and 'users unnamed) correspond to ours by rank only.\n' in words


def test_p_values_are_explained_where_there_are_any(tmp_path):
  assert 'adjusted for testing 3 differences (Holm 1979)' in said(tmp_path)
  alone = sections(text(write(tmp_path / 'alone', arms=('baseline',))))['Notes']
  assert 'Holm' not in alone and 'Intervals come from a bootstrap' in alone
