"""Which published files given ones look like, and whether they were mixed."""

import pytest

from persona_jax.data import releases
from persona_jax.data.source_files import SourceFile


def file_of(name, num_videos=93, num_labelled=93, root='root'):
  return SourceFile(name, root, 1, num_videos, num_labelled, 5 * num_videos, {})


@pytest.mark.parametrize(
  'modality, width, rate, name',
  [
    ('language', 300, 3.1, 'GloVe 840B word vectors'),
    ('audio', 74, 100.0, 'COVAREP'),
    ('audio', 74, None, 'COVAREP'),
    ('audio', 74, 12.5, 'COVAREP, at 12.5 frames a second instead of 100'),
    ('audio', 384, None, 'openSMILE IS09'),
    ('vision', 35, 29.97, 'Facet 4.2'),
    ('vision', 47, 30.0, 'FACET 4.1'),
    ('vision', 713, None, 'OpenFace 2'),
    ('audio', 35, None, None),  # the width of Facet, in another modality
    ('vision', 100, 0.2, None),
  ],
)
def test_features_are_known_by_their_width(modality, width, rate, name):
  assert releases.features_like(modality, width, rate) == name


@pytest.mark.parametrize(
  'videos, clips, corpus',
  [
    (93, 2199, 'CMU-MOSI'),
    (93, 2183, 'CMU-MOSI'),  # some clips left out
    (93, 2200, None),
    (89, 2199, None),
    (3228, 23453, 'CMU-MOSEI'),  # its paper
    (3293, 23259, 'CMU-MOSEI'),  # the SDK's labels
    (6, 51, None),
  ],
)
def test_corpora_are_known_by_their_videos_and_clips(videos, clips, corpus):
  assert releases.corpus_like(videos, clips) == corpus


def test_files_of_one_source_are_not_mixed():
  files = {field: file_of(f'CMU_MOSI_{field}.csd') for field in ('labels', 'audio', 'vision')}
  assert releases.mixtures(files, {'audio': 50.0, 'vision': 60.0}) == []
  assert releases.mixtures({}, {'audio': 1.0, 'vision': 1.0}) == []


def test_labels_of_mosi_beside_features_of_mosei_are_told():
  files = {
    'labels': file_of('CMU_MOSI_Opinion_Labels.csd'),
    'audio': file_of('covarep.csd', 3293, 0, root='CMU_MOSEI_COVAREP'),
    'vision': file_of('CMU_MOSI_Visual_Facet_42.csd', num_labelled=47),
  }
  names, videos = releases.mixtures(files, {})
  assert 'MOSI: labels (CMU_MOSI_Opinion_Labels.csd), vision (CMU_MOSI_Vis' in names
  assert names.endswith('; MOSEI: audio (covarep.csd).')
  assert videos.startswith('audio: covarep.csd has 0 of the 93 labelled videos, among its 3293;')


def test_features_of_whole_clips_beside_frames_are_told():
  (sentence,) = releases.mixtures({}, {'language': 10.0, 'audio': 52.5, 'vision': 1.0})
  assert sentence.startswith('vision: one frame per clip, as in features of whole utterances,')
  assert sentence.endswith('beside language (median 10), audio (median 52.5).')
