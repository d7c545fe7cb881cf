"""Facts about .csd files."""

import numpy as np
from makers import write_csd

from configs import mosi, synthetic
from persona_jax.data import source_files
from persona_jax.data.source_files import SourceFile


def spans(count):
  return np.arange(count)[:, None] + [0.0, 1.0]


def test_a_file_is_counted_from_end_to_end(tmp_path):
  first = np.ones((3, 4), np.float32)
  first[:2, 1], first[2, 3] = np.nan, -np.inf
  second = np.ones((2, 4), np.float32)
  second[0, 1] = np.inf
  path = write_csd(
    tmp_path / 'a.csd', {'va': (first, spans(3)), 'vb': (second, spans(2))}, root='COVAREP'
  )
  assert source_files.read(path, {'va', 'vz'}) == SourceFile(
    name='a.csd',
    root='COVAREP',
    width=4,
    num_videos=2,
    num_labelled=1,
    num_frames=5,
    non_finite={1: 3, 3: 1},
  )


def test_the_files_of_a_config_are_read_and_a_synthetic_corpus_has_none(tmp_path):
  write_csd(tmp_path / 'y.csd', {'va': (np.ones((2, 1)), spans(2))})
  write_csd(tmp_path / 'words.csd', {'va': (np.ones((5, 3)), spans(5))})
  config = mosi.get_config()
  config.data.update(root=str(tmp_path), labels='y.csd', language='words.csd')
  config.model.modalities = ('language',)
  files = source_files.read_all(config, {'va'})
  assert {field: (file.width, file.num_frames) for field, file in files.items()} == {
    'labels': (1, 2),
    'language': (3, 5),
  }
  assert source_files.read_all(synthetic.get_config(), {'va'}) == {}
