"""What the READMEs say: commands, flags, fields, links, modules and Python code are as they are."""

import ast
import pathlib
import re

import jax
import pytest

from configs import mosi, synthetic

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / 'README.md'
FOLDERS = ('configs', 'launch', 'persona_jax', 'persona_jax/data', 'tests')
READMES = (README, *(ROOT / folder / 'README.md' for folder in FOLDERS))
INSTALL = "python3 -m venv .venv && . .venv/bin/activate && pip install -e '.[test]'"
FLAGS_OF_ABSL = {'help', 'verbosity'}

every_readme = pytest.mark.parametrize(
  'readme', READMES, ids=lambda path: str(path.relative_to(ROOT))
)


def blocks(readme: pathlib.Path, language: str) -> list[str]:
  """The fenced blocks of a language, '' for those of none."""
  found = re.findall(r'^```(\w*)\n(.*?)^```', readme.read_text(), re.DOTALL | re.MULTILINE)
  return [block for name, block in found if name == language]


def test_readme_is_read_in_two_minutes():
  assert len(README.read_text().splitlines()) <= 170


def test_the_two_commands():
  lines = README.read_text().splitlines()
  study = 'python -m launch.study --config=configs/synthetic.py --workdir=runs/demo'
  assert f'{INSTALL} && {study}' in lines
  assert f'{INSTALL} && python -m pytest' in lines


def test_quickstart_prints_what_readme_shows(tmp_path, monkeypatch, capsys):
  (code,) = blocks(README, 'python')
  (shown,) = [block for block in blocks(README, '') if block.startswith('error of')]
  monkeypatch.chdir(tmp_path)
  exec(compile(code, str(README), 'exec'), {'__name__': 'quickstart'})
  printed = capsys.readouterr().out
  assert re.fullmatch(re.sub(r'\d', r'\\d', re.sub(r'([.+])', r'\\\1', shown)), printed), printed
  before, after = map(float, re.findall(r'\d\.\d\d', printed))
  assert after < before
  assert (tmp_path / 'runs' / 'users' / 'last.bayes.safetensors').stat().st_size < 4096


def test_the_predictor_is_a_flax_module():
  (code,) = [block for block in blocks(ROOT / 'persona_jax/README.md', 'python') if 'init' in block]

  def run():
    found = {}
    exec(code, found)
    return found['variables'], found['scores']

  variables, scores = jax.eval_shape(run)  # traced, which is all that its calls need
  assert set(variables['params']) == {'adapter', 'base'}
  assert scores.shape == (8,)


@every_readme
def test_python_code_is_valid(readme):
  for block in blocks(readme, 'python'):
    ast.parse(block)


def anchors(path: pathlib.Path) -> set[str]:
  """The anchors that GitHub gives to a file's headings."""
  headings = re.findall(r'^#+ (.*)$', path.read_text(), re.MULTILINE)
  return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@every_readme
def test_links_lead_somewhere(readme):
  for link in re.findall(r'\]\(([^)\s]+)\)', readme.read_text()):
    if '://' in link:
      continue
    name, _, anchor = link.partition('#')
    target = (readme.parent / name).resolve() if name else readme
    assert target.exists(), link
    assert not anchor or anchor in anchors(target), link


def defined_flags() -> set[str]:
  """The names of all flags that the launchers define."""
  calls = (
    node
    for path in (ROOT / 'launch').glob('*.py')
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Call) and 'DEFINE_' in ast.unparse(node.func)
  )
  return {call.args[0].value for call in calls}


def has_field(field: str) -> bool:
  """Whether one of the configs has the field, given as 'model.width'."""
  for config in (synthetic.get_config(), mosi.get_config()):
    try:
      for name in field.split('.'):
        config = config[name]
      return True
    except (KeyError, TypeError):
      continue
  return False


@every_readme
def test_flags_and_fields_exist(readme):
  text = re.sub(r'^#SBATCH.*$', '', readme.read_text(), flags=re.MULTILINE)
  flags = set(re.findall(r'(?<![\w-])--([a-z_]+)\b(?!\.)', text))
  assert flags <= defined_flags() | FLAGS_OF_ABSL
  fields = set(re.findall(r'(?<![\w.])(?:--)?config\.([a-z_]+(?:\.[a-z_]+)*)\b(?!\()', text))
  files = {'json', 'py'}  # config.json, config.py
  methods = {field for field in fields if re.search(rf'config\.{re.escape(field)}\(', text)}
  wrong = {field for field in fields - files - methods if not has_field(field)}
  assert not wrong


@every_readme
def test_commands_and_files_exist(readme):
  text = readme.read_text()
  for name in re.findall(r'\blaunch\.([a-z_]+)', text):
    assert (ROOT / 'launch' / f'{name}.py').exists(), name
  for name in re.findall(r'\bconfigs/\w+\.py', text):
    assert (ROOT / name).exists(), name
  for name in re.findall(r'`([\w/]+\.py)`', text):
    folders = (ROOT, readme.parent, ROOT / 'launch')
    assert any((folder / name).exists() for folder in folders), name


def test_tree_of_readme_names_every_folder():
  (tree,) = [block for block in blocks(README, '') if block.startswith('configs/')]
  folders = set(re.findall(r'^ *(\w+)/ ', tree, re.MULTILINE))
  packages = {path.parent for path in ROOT.glob('*/*.py')} | {
    path.parent for path in (ROOT / 'persona_jax').glob('*/*.py')
  }
  assert folders == {path.name for path in packages if path.name[0] not in '._'}


def test_tree_of_the_package_names_every_module():
  (tree,) = [
    block for block in blocks(ROOT / 'persona_jax/README.md', '') if block.startswith('types.py')
  ]
  named, folder = set(), ''
  for line in tree.splitlines():
    name = line.split(maxsplit=1)[0] if line else ''
    if name.endswith('/'):
      folder = name
    elif name:
      named.add(folder + name)
  package = ROOT / 'persona_jax'
  modules = {path.relative_to(package).as_posix() for path in package.rglob('*.py')}
  assert named == {module for module in modules if not module.endswith('__init__.py')}
