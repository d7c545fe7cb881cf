"""An exported predictor, run as on a machine that has JAX and numpy alone."""

import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from launchers import run as launch
from makers import smallest_config
from safetensors.numpy import load_file

from persona_jax.data import loading
from persona_jax.errors import UserError
from persona_jax.predictor import export, training
from persona_jax.predictor.people import People

# An import of anything else ends the program.
ALONE = """
import sys
class Others:
  def find_spec(self, name, path=None, target=None):
    known = {'jax', 'jaxlib', 'numpy', 'flatbuffers', 'ml_dtypes', 'opt_einsum', 'scipy'}
    root = name.split('.')[0]
    if root in {'persona_jax', 'flax', 'optax', 'orbax', 'h5py', 'safetensors', 'sklearn', 'absl'}:
      raise ImportError(f'{name} is not there')
sys.meta_path.insert(0, Others())
"""


@pytest.fixture(scope='module')
def corpus():
  config = smallest_config()
  config.data.update(num_speakers=24, clips_per_speaker=14, seed=3)
  return loading.load(config)


@pytest.fixture(scope='module')
def exported(corpus, tmp_path_factory):
  """The predictor, its person ann, and the folder of the export."""
  root = tmp_path_factory.mktemp('export')
  config = smallest_config()
  config.pretrain.valid_speakers = 0.35
  config.data.update(num_speakers=24, clips_per_speaker=14)
  predictor = training.train(config, root / 'p')
  ann = predictor.adapt(corpus.clips.at(np.arange(5)), corpus.labels[:5])
  ann.save(People(root / 'users').path('ann'))
  launch(
    'export',
    f'--predictor={root / "p"}',
    f'--users={root / "users"}',
    f'--output={root / "out"}',
    '--user=ann',
  )
  return predictor, ann, root / 'out'


def run_alone(code, folder):
  done = subprocess.run(
    [sys.executable, '-c', ALONE + textwrap.dedent(code)],
    cwd=folder,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def test_the_lines_of_its_readme_run(exported):
  _, _, folder = exported
  (code,) = re.findall(r'```python\n(.*?)```', (folder / 'README.md').read_text(), re.DOTALL)
  assert len(code.strip().splitlines()) <= 12
  printed = np.fromstring(run_alone(code, folder).strip()[1:-1], sep=' ')
  assert printed.shape == (3,) and np.abs(printed).max() <= 3


@pytest.mark.parametrize('name', ['nobody', 'ann'])
def test_it_predicts_as_the_predictor_does(name, exported, corpus):
  predictor, ann, folder = exported
  clips = corpus.clips.at(np.arange(5, 14))
  steps = predictor.facts['steps']
  arrays = {}
  for modality in predictor.widths:
    mask = clips.masks[modality]
    extra = steps[modality] - mask.shape[1]
    arrays[f'{modality}.mask'] = np.pad(mask, [(0, 0), (0, extra)])
    arrays[modality] = np.pad(clips.sequences[modality], [(0, 0), (0, extra), (0, 0)])
  np.savez(folder.parent / 'clips.npz', **arrays)
  run_alone(
    f"""
    import numpy as np
    from jax import export
    loaded = dict(np.load('../clips.npz'))
    masks = {{m[:-5]: x for m, x in loaded.items() if m.endswith('.mask')}}
    clips = {{m: loaded[m] for m in masks}}
    predict = export.deserialize(open('predict.bin', 'rb').read())
    read = export.deserialize(open('read.bin', 'rb').read())
    scores = predict.call(clips, masks, dict(np.load('{name}.npz')))
    np.savez('../{name}.found.npz', *map(np.asarray, (*scores, *read.call(clips, masks))))
    """,
    folder,
  )
  found = list(np.load(folder.parent / f'{name}.found.npz').values())
  expected = predictor.predict(clips, ann if name == 'ann' else None)
  for one, other in zip(found, (*expected, *predictor.features(clips)), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-5)
  np.testing.assert_allclose(found[0], expected.mean, atol=1e-6)


def test_weights_have_their_names(exported):
  predictor, _, folder = exported
  weights = load_file(folder / 'weights.safetensors')
  np.testing.assert_array_equal(
    weights['adapter/language_projection/kernel'],
    predictor.params['adapter']['language_projection']['kernel'],
  )


def test_a_folder_is_never_replaced(exported):
  predictor, _, folder = exported
  with pytest.raises(UserError, match='exists; name a new folder'):
    export.export(predictor, folder, {})
