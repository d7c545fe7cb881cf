"""A person's file: what is stored, in what order, and that nothing else is read."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from persona_jax.errors import UserError
from persona_jax.persona.residual import NUM_COMPONENTS
from persona_jax.predictor import person as person_lib
from persona_jax.predictor import tensor_files
from persona_jax.predictor.person import Person, identifier

NAMES = ('a', 'b', 'c', 'd', 'e', 'f')


def person_of(names=NAMES, predictor='p' * 32, num_components=3):
  """A person with a clip per name; a clip's numbers depend on its name alone."""
  width = 2 + num_components
  rows = [np.random.default_rng([*name.encode()]).normal(size=width) for name in names]
  rows = np.array(rows, np.float32).reshape(-1, width)
  ids = np.array([identifier(name) for name in names], np.uint64)
  order = np.argsort(ids)
  return Person(
    predictor,
    ids[order],
    rows[order, 0],
    rows[order, 1],
    rows[order, 2:],
    np.array([name in 'bd' for name in names])[order],
  )


def assert_same(one: Person, other: Person):
  for field in dataclasses.fields(Person):
    np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_saved_and_loaded_is_the_same(tmp_path):
  path = tmp_path / 'users' / 'ann.safetensors'
  person_of().save(path)
  assert_same(person_lib.load(path), person_of())
  assert path.stat().st_size < 4096 and [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_has_97_bytes_per_clip_and_36_clips_are_below_4_kb(tmp_path):
  """8 of the identifier, 4 each of label, prediction and 20 components, and 1 of how it came."""
  sizes = {}
  for count in (1, 36, 136):
    names = [f'clip {number}' for number in range(count)]
    person_of(names, num_components=NUM_COMPONENTS).save(tmp_path / 'x.safetensors')
    sizes[count] = (tmp_path / 'x.safetensors').stat().st_size
  assert sizes[36] < 4096
  assert all(480 < size - 97 * count < 530 for count, size in sizes.items())


@given(st.permutations(NAMES), st.integers(0, 6))
@settings(deadline=None, max_examples=30)
def test_clips_in_any_order_and_any_portions_make_the_same_person(order, cut):
  first, second = person_of(order[:cut]), person_of(order[cut:])
  assert_same(first.add(second), person_of())


@given(st.permutations(NAMES), st.integers(0, 5))
@settings(deadline=None, max_examples=30)
def test_forgotten_clips_leave_the_person_who_never_gave_them(order, count):
  person = person_of()
  for name in order[:count]:
    person = person.forget(name)
  assert_same(person, person_of(order[count:]))


def test_a_clip_is_given_once():
  with pytest.raises(UserError, match='already known of this person; forget it first'):
    person_of().add(person_of('a'))
  with pytest.raises(UserError, match="clip 'z' is not known of this person, who has 6 clips"):
    person_of().forget('z')
  with pytest.raises(UserError, match='read by another predictor'):
    person_of().add(person_of('z', predictor='q' * 32))


def test_no_name_is_in_the_file(tmp_path):
  """Names of clips can name people; only 64 bits of their hash are kept."""
  path = tmp_path / 'x.safetensors'
  person_of(('interview_with_ann[3]', 'holiday[1]')).save(path)
  content = path.read_bytes()
  assert b'ann' not in content and b'holiday' not in content


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path_factory, data):
  path = tmp_path_factory.mktemp('damaged') / 'ann.safetensors'
  person_of().save(path)
  content = bytearray(path.read_bytes())
  if data.draw(st.booleans()):
    content = content[: data.draw(st.integers(0, len(content) - 1))]
  else:
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
  path.write_bytes(content)
  with pytest.raises(UserError) as refused:
    person_lib.load(path)
  assert str(path) in str(refused.value) and '\n' not in str(refused.value)


@pytest.mark.parametrize(
  'tensors, about, said',
  [
    ({'x': np.zeros(1)}, {}, 'not a person; it says that it is None'),
    ({'x': np.zeros(1)}, {'kind': 'person', 'format': '2'}, 'a person of format 2, this version'),
    ({'x': np.zeros(1)}, {'kind': 'person', 'format': '1'}, 'its checksum differs'),
  ],
)
def test_other_files_are_refused(tensors, about, said, tmp_path):
  path = tmp_path / 'x.safetensors'
  save_file(tensors, path, about)
  with pytest.raises(UserError, match=said):
    person_lib.load(path)


def test_a_whole_file_with_other_tensors_is_no_person(tmp_path):
  path = tmp_path / 'x.safetensors'
  about = dict(kind='person', format='1', predictor='p')
  tensor_files.write(path, {'clips': np.zeros(2, np.uint64)}, about)
  with pytest.raises(UserError, match='its tensors are not those of a person'):
    person_lib.load(path)


def test_missing_and_other_types(tmp_path):
  with pytest.raises(UserError, match='cannot be read'):
    person_lib.load(tmp_path / 'nobody.safetensors')
  person = person_of()
  path = tmp_path / 'x.safetensors'
  dataclasses.replace(person, labels=person.labels.astype(np.float64)).save(path)
  with pytest.raises(UserError, match=r'damaged \(labels is float64'):
    person_lib.load(path)
  dataclasses.replace(person, chosen=person.chosen[:2]).save(path)
  with pytest.raises(UserError, match=r'damaged \(chosen is bool\[2\]'):
    person_lib.load(path)
