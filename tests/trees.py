"""Trees of parameters, leaf by leaf."""

import jax


def leaves(tree):
  return jax.tree_util.tree_leaves_with_path(jax.device_get(tree))
