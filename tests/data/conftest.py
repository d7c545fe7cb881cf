"""A small corpus, and a file of it."""

import pytest
import writers


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
  """va[0] to va[3], vb[0], vb[1], vc[0] to vc[2]; without words of vb[0] and vision of vc[0]."""
  return writers.tiny(tmp_path_factory.mktemp('tiny'))


@pytest.fixture
def saved(tmp_path, tiny):
  """A config of the tiny corpus in a file of its own."""
  return writers.corpus_file(tmp_path / 'x.h5', tiny)
