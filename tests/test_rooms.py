"""The package's rooms: who may import whom, and that no import goes round in a circle."""

import ast
import pathlib

import pytest

import persona_jax

PACKAGE = pathlib.Path(persona_jax.__file__).parent
# Top to bottom in the README's picture; a room imports itself and those before it alone.
ROOMS = (
  'base',
  'runtime',
  'data',
  'model',
  'training',
  'persona',
  'evaluation',
  'reporting',
  'study',
  'predictor',
)
WITHOUT_JAX = ('evaluation', 'reporting')


def modules() -> dict[str, pathlib.Path]:
  """{dotted name: file} of every module of the package but its front door."""
  paths = {path.relative_to(PACKAGE.parent): path for path in sorted(PACKAGE.rglob('*.py'))}
  return {
    '.'.join(relative.with_suffix('').parts): path
    for relative, path in paths.items()
    if relative.name != '__init__.py'
  }


def room(module: str) -> str:
  parts = module.split('.')
  return 'base' if len(parts) == 2 else parts[1]


def imports(path: pathlib.Path) -> set[str]:
  """The modules that a file imports, wherever in it."""
  known, found = modules(), set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
      names = {f'{node.module}.{alias.name}' for alias in node.names}
      found |= {name if name in known else node.module for name in names}
  return found


def test_every_module_is_in_a_known_room():
  assert {room(module) for module in modules()} == set(ROOMS)


@pytest.mark.parametrize('module', modules())
def test_no_import_climbs(module):
  own = ROOMS.index(room(module))
  for imported in imports(modules()[module]) & set(modules()):
    assert ROOMS.index(room(imported)) <= own, f'{module} imports {imported}'


@pytest.mark.parametrize('name', WITHOUT_JAX)
def test_numbers_and_reports_do_not_import_jax(name):
  for module, path in modules().items():
    if room(module) == name:
      found = {imported.split('.')[0] for imported in imports(path)}
      assert not found & {'jax', 'flax', 'optax', 'orbax'}, module


def test_no_circle_of_modules():
  left = {module: imports(path) & set(modules()) for module, path in modules().items()}
  while left:
    free = [module for module, needed in left.items() if not needed & set(left)]
    assert free, f'these import one another: {sorted(left)}'
    for module in free:
      del left[module]


def test_launchers_import_no_private_names():
  for path in (PACKAGE.parent / 'launch').glob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.ImportFrom):
        assert not [alias.name for alias in node.names if alias.name.startswith('_')], path
