"""What a predictor says of itself: what it was trained on, and what a new person may expect."""

import json

from launchers import complaint
from launchers import run as launch
from makers import SMALLEST


def test_the_folder_says_what_it_is(folder):
  card = (folder / 'README.md').read_text()
  assert 'other speakers chose the epoch' in card and '| language | 13 |' in card
  about = json.loads((folder / 'predictor.json').read_text())
  assert about['described']['facts']['trained_on']['train_speakers'] > 10


FLAGS = [
  *SMALLEST,
  '--config.data.num_speakers=24',
  '--config.data.clips_per_speaker=14',
  '--config.pretrain.valid_speakers=0.35',
]


GROUPED = [
  '--config.study.protocol=grouped',
  '--config.pretrain.validation=speakers',
  "--config.study.arms=('baseline','calibrated','bayes')",
]


def test_the_launcher_prints_the_card_with_what_a_study_measured(tmp_path):
  study, predictor = f'--study={tmp_path / "study"}', f'--predictor={tmp_path / "p"}'
  launch('study', *FLAGS, *GROUPED, f'--workdir={tmp_path / "study"}')
  text = launch('train', *FLAGS, predictor, study)
  assert '| Bayes | ' in text and 'held-out speakers, with 5 labelled clips of each' in text
  assert text.strip() == (tmp_path / 'p' / 'README.md').read_text().strip()
  other = f'--predictor={tmp_path / "q"}'
  said = complaint('train', *FLAGS, '--config.pretrain.num_epochs=3', other, study)
  assert 'a study of other settings (config.pretrain.num_epochs is 2 there and 3 here)' in said
  assert not (tmp_path / 'q').exists() and not list(tmp_path.glob('*.training'))
