"""An exported predictor, run as on a machine that has JAX and numpy alone."""

import re
import subprocess
import sys

import numpy as np
import pytest
from launchers import run as launch
from safetensors.numpy import load_file
from strangers import adapted, clips_of, of_speaker

from persona_jax.errors import UserError
from persona_jax.predictor import export
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


def exported_with(folder, output, *users, arm='bayes'):
  """The folder of an export by the command."""
  named = [f'--user={user}' for user in users]
  paths = [f'--predictor={folder}', f'--users={output.parent / "users"}', f'--output={output}']
  launch('export', *paths, *named, f'--arm={arm}')
  return output


@pytest.fixture(scope='module')
def exported(folder, predictor, strangers, tmp_path_factory):
  """The person ann, and the folder of the export."""
  root = tmp_path_factory.mktemp('export')
  ann = adapted(predictor, strangers, np.arange(5))
  ann.save(People(root / 'users').path('ann'))
  return ann, exported_with(folder, root / 'out', 'ann')


def run_alone(code, folder):
  done = subprocess.run(
    [sys.executable, '-c', ALONE + code],
    cwd=folder,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def lines_of(folder):
  """The Python code of the folder's README."""
  (code,) = re.findall(r'```python\n(.*?)```', (folder / 'README.md').read_text(), re.DOTALL)
  assert len(code.strip().splitlines()) <= 12
  return code


def test_the_lines_of_its_readme_run(exported):
  _, folder = exported
  code = lines_of(folder)
  printed = np.fromstring(run_alone(code, folder).strip()[1:-1], sep=' ')
  assert printed.shape == (3,) and np.abs(printed).max() <= 3


def save_clips(predictor, clips, path):
  """Clips as an exported program takes them, in an .npz."""
  arrays = {}
  for modality in predictor.widths:
    mask = clips.masks[modality]
    extra = predictor.steps[modality] - mask.shape[1]
    arrays[f'{modality}.mask'] = np.pad(mask, [(0, 0), (0, extra)])
    arrays[modality] = np.pad(clips.sequences[modality], [(0, 0), (0, extra), (0, 0)])
  np.savez(path, **arrays)


LOADED = """
import numpy as np
from jax import export
loaded = dict(np.load('../clips.npz'))
masks = {m[:-5]: x for m, x in loaded.items() if m.endswith('.mask')}
clips = {m: loaded[m] for m in masks}
predict = export.deserialize(open('predict.bin', 'rb').read())
"""


@pytest.mark.parametrize('name', ['nobody', 'ann'])
def test_it_predicts_as_the_predictor_does(name, exported, predictor, strangers):
  ann, folder = exported
  clips = clips_of(strangers, np.arange(5, 14))
  save_clips(predictor, clips, folder.parent / 'clips.npz')
  run_alone(
    LOADED
    + f"""
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


@pytest.mark.parametrize('arm', ['fs_ua_kd', 'fs_ua_token', 'fs_adapter'])
def test_fine_tuned_people_are_predicted_as_the_predictor_does(
  arm, folder, predictor, strangers, tmp_path
):
  """Two people by one program, whose input is what fine-tuning changed."""
  people, users = {}, People(tmp_path / 'users', arm)
  for number, name in enumerate(('ann', 'b.c')):
    places = of_speaker(strangers, number)[:5]
    clips = clips_of(strangers, places)
    people[name] = predictor.fine_tune(clips, strangers.labels[places], arm)
    people[name].save(users.path(name))
  output = exported_with(folder, tmp_path / 'out', *people, arm=arm)
  clips = clips_of(strangers, np.arange(40, 47))
  save_clips(predictor, clips, tmp_path / 'clips.npz')
  printed = run_alone(
    LOADED
    + """
for name in ('ann', 'b%2Ec'):
  mean = predict.call(clips, masks, dict(np.load(f'{name}.npz')))
  np.save(f'../{name}.npy', np.asarray(mean))
"""
    + lines_of(output),
    output,
  )
  assert np.fromstring(printed.strip()[1:-1], sep=' ').shape == (3,)
  found = [np.load(tmp_path / f'{name}.npy') for name in ('ann', 'b%2Ec')]
  for one, person in zip(found, people.values(), strict=True):
    np.testing.assert_allclose(one, predictor.predict(clips, person).mean, atol=1e-6)
  assert np.abs(found[0] - found[1]).max() > 1e-3
  with pytest.raises(UserError, match=f'ann: was fine-tuned by {arm}, not by fs_base; name that'):
    export.export_fine_tuned(predictor, tmp_path / 'x', 'fs_base', people)


def test_an_arm_that_fine_tunes_has_no_predictor_for_nobody(predictor, tmp_path):
  with pytest.raises(UserError, match='FS-UA-KD has no predictor for people whom it does not know'):
    export.export_fine_tuned(predictor, tmp_path / 'x', 'fs_ua_kd', {})
  with pytest.raises(UserError, match='nobody: the name of the file of nobody in particular'):
    export.export(predictor, tmp_path / 'x', {'nobody': predictor.nobody()})
  assert not (tmp_path / 'x').exists()


def test_weights_have_their_names(exported, predictor):
  _, folder = exported
  weights = load_file(folder / 'weights.safetensors')
  np.testing.assert_array_equal(
    weights['adapter/language_projection/kernel'],
    predictor.params['adapter']['language_projection']['kernel'],
  )


def test_a_folder_is_never_replaced(exported, predictor):
  _, folder = exported
  with pytest.raises(UserError, match='exists; name a new folder'):
    export.export(predictor, folder, {})
