"""What a report says of preprocessing, of the mean shift and of reproducing it."""

from studies import CONFIG, write

from persona_jax.reporting import arm_comparison, notes, report


def said(workdir, **config):
  return report.write([workdir], write(workdir, config=CONFIG | config)).split('## Notes')[1]


def test_preprocessing_is_told(tmp_path):
  text = said(
    tmp_path,
    normalise=dict(modalities=['audio', 'vision'], deviation=0.2, limit=3.0),
    data=dict(frames_per_second=dict(language=None, audio=12.5, vision=15.0)),
  )
  assert (
    '- Every column of audio and vision is standardised over the training clips of its fold, '
    'scaled to a standard deviation of 0.2 and clipped at 3 standard deviations; language is '
    'unchanged.\n'
  ) in text
  assert (
    '- Within each clip, frames that come faster are averaged to 12.5 a second (audio) and 15 a second '
    '(vision); frames of language are taken as they are.\n'
  ) in text


def test_of_the_modalities_in_use(tmp_path):
  text = said(
    tmp_path,
    model=dict(modalities=['audio']),
    data=dict(frames_per_second=dict(language=None, audio=12.5, vision=15.0)),
    normalise=dict(modalities=[], deviation=0.2, limit=3.0),
  )
  assert '- Features of audio enter the model as they are in the files.\n' in text
  assert (
    '- Within each clip, frames that come faster are averaged to 12.5 a second (audio).\n' in text
  )


def test_older_workdirs_say_nothing_of_it(tmp_path):
  text = said(tmp_path)
  assert 'standardised' not in text and 'averaged' not in text
  assert text.count(notes.REPRODUCIBILITY) == 1


def test_the_mean_shift_has_its_caveat_beside_every_comparison(tmp_path):
  arms, oracle = ('baseline', 'mean_shift', 'fs_ua'), {user: 0.1 for user in ('ann', 'bo', 'cy')}
  workdir = write(tmp_path / 'with', arms, all_shots=(1, 5), oracle_mae=oracle)
  text = report.write([workdir], workdir)
  sections = {part.split('\n')[0]: part for part in text.split('\n## ')}
  for title in (
    'Table 3. Means over users',
    'Paired differences from the baseline',
    'Which differences in MAE are real',
    'MAE by the number of support clips',
    'Share of the possible gain',
  ):
    assert sections[title].count(arm_comparison.MEAN_SHIFT_CAVEAT) == 1, title
  for figure in ('draws', 'shots'):
    assert f'{arm_comparison.MEAN_SHIFT_CAVEAT}](figures/{figure}.svg)' in sections['Figures']
  assert 'FS-UA beats the mean shift' in sections['Which differences in MAE are real']
  without = write(tmp_path / 'without', all_shots=(1, 5), oracle_mae=oracle)
  assert arm_comparison.MEAN_SHIFT_CAVEAT not in report.write([without], without)
