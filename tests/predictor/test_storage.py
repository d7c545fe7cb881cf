"""A predictor on disk: loaded whole, or refused."""

import shutil

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import break_file
from strangers import assert_alike, clips_of, config_of, of_speaker

import persona_jax
from persona_jax.errors import UserError
from persona_jax.predictor import training


def test_a_loaded_predictor_is_the_trained_one(folder, strangers, tmp_path):
  first = persona_jax.load(folder)
  first.save(tmp_path / 'again')
  second = persona_jax.load(tmp_path / 'again')
  assert first.identity == second.identity
  jax.tree.map(
    np.testing.assert_array_equal,
    (first.params, first.normaliser, first.priors),
    (second.params, second.normaliser, second.priors),
  )
  places = of_speaker(strangers, 0)
  clips = clips_of(strangers, places)
  assert_alike(first.predict(clips), second.predict(clips), 0)


def test_a_damaged_missing_or_newer_predictor_is_refused(folder, tmp_path):
  with pytest.raises(UserError, match='no predictor; expected a folder'):
    persona_jax.load(tmp_path)
  for how in ('truncated', 'flipped'):
    copy = tmp_path / how
    shutil.copytree(folder, copy)
    break_file(copy / 'params', how)
    with pytest.raises(UserError, match='a predictor is damaged .* train it again'):
      persona_jax.load(copy)
  copy = tmp_path / 'edited'
  shutil.copytree(folder, copy)
  text = (copy / 'predictor.json').read_text()
  (copy / 'predictor.json').write_text(text.replace('"model"', '"modem"'))
  with pytest.raises(UserError, match='its checksum differs'):
    persona_jax.load(copy)


@given(st.data())
@settings(deadline=None, max_examples=15)
def test_a_predictor_is_loaded_whole_or_refused_in_one_sentence(folder, tmp_path_factory, data):
  copy = tmp_path_factory.mktemp('damaged') / 'p'
  shutil.copytree(folder, copy)
  paths = sorted(path for path in copy.rglob('*') if path.is_file() and path.name != 'README.md')
  path = data.draw(st.sampled_from(paths))
  content = bytearray(path.read_bytes())
  how = data.draw(st.sampled_from(['truncated', 'flipped', 'gone', 'swapped']))
  if how == 'gone':
    path.unlink()
  elif how == 'swapped':
    path.write_bytes(data.draw(st.sampled_from(paths)).read_bytes())
  elif how == 'truncated' and content:
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
  elif content:
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
  if path.exists() and path.read_bytes() == (folder / path.relative_to(copy)).read_bytes():
    return  # an empty file cannot be cut, and a file is no other than itself
  with pytest.raises(UserError) as refused:
    persona_jax.load(copy)
  assert '\n' not in str(refused.value)


def test_a_folder_is_never_replaced(folder, tmp_path):
  with pytest.raises(UserError, match='exists; name a new folder'):
    training.train(config_of(), folder)
  with pytest.raises(UserError, match='exists; name a new folder'):
    persona_jax.load(folder).save(folder)
  assert not list(folder.parent.glob('*.training'))
