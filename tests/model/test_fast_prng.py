import jax
import numpy as np
import pytest
from scipy import stats

from persona_jax.model import fast_prng
from persona_jax.model.fast_prng import fast_key


def test_uniform_and_uncorrelated():
  rows = np.stack(
    [jax.random.uniform(jax.random.fold_in(fast_key(1), n), (4096,)) for n in range(64)]
  )
  assert stats.kstest(rows.ravel(), 'uniform').pvalue > 1e-3
  correlations = np.corrcoef(rows)[np.triu_indices(64, 1)] * np.sqrt(
    4096
  )  # ~N(0, 1) if independent
  assert abs(correlations).max() < 5 and 0.9 < correlations.std() < 1.1
  neighbours = np.corrcoef(rows[:, 1:].ravel(), rows[:, :-1].ravel())[0, 1]
  assert abs(neighbours) < 0.01


def test_same_under_vmap_and_alone():
  keys = jax.random.split(fast_key(0), 3)
  together = jax.vmap(lambda key: jax.random.bits(key, (5, 7)))(keys)
  for key, row in zip(keys, together, strict=True):
    np.testing.assert_array_equal(jax.random.bits(key, (5, 7)), row)


def test_keys_differ():
  keys = jax.random.key_data(jax.random.split(fast_key(0), 20_000))
  assert len(np.unique(keys, axis=0)) == 20_000
  assert (jax.random.key_data(fast_key(0)) != jax.random.key_data(fast_key(1))).any()


def test_parts_of_a_table_are_those_of_the_whole():
  keys = jax.random.split(fast_key(5), 3)
  whole = jax.vmap(lambda key: jax.random.bits(key, (6, 7)))(keys)
  part = fast_prng.bits_of_part(fast_prng.words(keys), (2, 4), num_columns=7, first=3 * 7 + 2)
  np.testing.assert_array_equal(part, whole[:, 3:5, 2:6])


@pytest.mark.parametrize('implementation', ['threefry2x32', 'rbg'])
def test_words_of_other_keys(implementation):
  words = fast_prng.words(jax.random.split(jax.random.key(0, impl=implementation), 5))
  assert words.shape == (5, 2) and len(np.unique(words, axis=0)) == 5
