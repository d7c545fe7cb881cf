import numpy as np

from persona_jax.data import synthetic


def test_deterministic_and_extended_by_more_speakers():
  small, again, large = synthetic.make(3, 2, 8), synthetic.make(3, 2, 8), synthetic.make(3, 4, 8)
  n = len(small.names)
  assert small.names == again.names == large.names[:n]
  np.testing.assert_array_equal(small.clips.sequences['audio'], again.clips.sequences['audio'])
  np.testing.assert_array_equal(small.labels, large.labels[:n])
  assert (synthetic.make(4, 2, 8).labels[:5] != small.labels[:5]).any()


def test_labels_have_mosis_grid_and_range():
  labels = synthetic.make(0, 10, 20).labels
  np.testing.assert_allclose(labels * 5, np.round(labels * 5), atol=1e-5)
  assert abs(labels).max() == 3 and (labels == 0).any()


def test_modalities_are_unaligned():
  masks = synthetic.make(0, 3, 20).clips.masks
  lengths = {m: mask.sum(axis=1) for m, mask in masks.items()}
  assert all(len(set(values)) > 3 for values in lengths.values())
  assert abs(np.corrcoef(lengths['audio'], lengths['vision'])[0, 1]) < 0.5


def test_personas_are_worth_knowing():
  """Each speaker's own mean residual, which no generalist has, mends much of the error."""
  made = synthetic.make(0, 40, 32)
  speakers = np.array(made.speakers)
  oracle = abs(made.oracle - made.labels).mean()
  # The oracle's latent estimate with the mean persona: the best that a generalist could do.
  offsets = {s: np.mean(made.labels[speakers == s]) for s in set(speakers)}
  assert oracle < 0.45
  assert np.std(list(offsets.values())) > 0.4
