"""What functions are traced to."""

import jax


def precisions(function, *arguments):
  """Those of all matrix products and convolutions that a function is traced to."""
  found = set()

  def walk(jaxpr):
    for equation in jaxpr.eqns:
      if equation.primitive.name in ('dot_general', 'conv_general_dilated'):
        precision = equation.params['precision']
        found.update(precision if isinstance(precision, tuple) else [precision])
      for value in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, 'eqns')):
        inner = getattr(value, 'jaxpr', value)
        if hasattr(inner, 'eqns'):
          walk(inner)

  walk(jax.make_jaxpr(function)(*arguments).jaxpr)
  return found
