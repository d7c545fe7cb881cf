"""What an installed distribution holds: the package alone, without launchers, configs and tests."""

import pathlib
import tomllib

import setuptools

ROOT = pathlib.Path(__file__).parent.parent


def find_packages() -> list[str]:
  """The packages that the discovery configured in `pyproject.toml` finds."""
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())
  return setuptools.find_packages(str(ROOT), **project['tool']['setuptools']['packages']['find'])


def test_only_the_package_is_distributed():
  assert {name.split('.')[0] for name in find_packages()} == {'persona_jax'}


def test_every_folder_of_modules_is_distributed():
  folders = {path.parent.relative_to(ROOT) for path in (ROOT / 'persona_jax').rglob('*.py')}
  assert set(find_packages()) == {'.'.join(folder.parts) for folder in folders}
