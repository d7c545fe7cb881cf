import numpy as np
import pytest

from persona_jax.evaluation.metrics import METRICS
from persona_jax.reporting import paper, tables


@pytest.mark.parametrize('rows, arm', [(paper.TABLE_1, 'baseline'), (paper.TABLE_2, 'fs_ua')])
def test_the_papers_means_are_those_of_its_rows(rows, arm):
  """Table 1 and 2's averages and Table 3 are the paper's own; they must fit its rows."""
  means = np.mean([[float(cell) for cell in row.split()] for row in rows], axis=0)
  stated = [float(cell) for cell in paper.TABLE_3[arm].split()]
  np.testing.assert_allclose(means, stated, atol=0.0101)
  assert len(stated) == len(tables.COLUMNS) and set(tables.COLUMNS) < set(METRICS)
