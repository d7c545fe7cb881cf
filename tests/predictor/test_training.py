"""What a predictor says of itself: what it was trained on, and what a new person may expect."""

import json

from launchers import complaint
from launchers import run as launch
from makers import SMALLEST

from persona_jax.predictor import card


def test_the_folder_says_what_it_is(folder):
  text = (folder / 'README.md').read_text()
  assert 'other speakers chose the epoch' in text and '| language | 13 |' in text
  about = json.loads((folder / 'predictor.json').read_text())
  facts = about['described']['facts']
  assert facts['trained_on']['train_speakers'] > 10
  assert facts['validated']['num_speakers'] > 5 and facts['validated']['num_support'] == 5
  assert 'validation speakers, with 5 labelled clips of each, it had these errors' in text
  assert f'| Bayes | {facts["validated"]["mae"]["Bayes"]:.3f} |' in text
  assert 'How much more is unknown; a study of held-out groups measures it' in text


def test_a_card_says_what_is_unknown_and_how_to_know_it():
  said = card.text({})
  assert 'people whom it was not trained on is unknown; a study of held-out groups measures' in said


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
  assert 'held-out speakers, with 5 labelled clips of each' in text
  assert text.count('| Bayes | ') == 2 and 'How much more is unknown' not in text
  assert text.strip() == (tmp_path / 'p' / 'README.md').read_text().strip()
  other = f'--predictor={tmp_path / "q"}'
  said = complaint('train', *FLAGS, '--config.pretrain.num_epochs=3', other, study)
  assert 'a study of other settings (config.pretrain.num_epochs is 2 there and 3 here)' in said
  assert not (tmp_path / 'q').exists() and not list(tmp_path.glob('*.training'))
