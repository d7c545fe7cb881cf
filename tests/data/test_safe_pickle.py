"""What is read of a pickle, and that nothing else is run."""

import os
import pickle
import struct
import subprocess
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persona_jax.data import safe_pickle
from persona_jax.errors import UserError

CONTENT = {
  'train': {
    'audio': np.arange(12, dtype=np.float64).reshape(2, 3, 2),
    'transposed': np.arange(6, dtype='>f4').reshape(2, 3).T,
    'id': np.array([['a', '0.5'], ['b', '1']], object),
    'bytes': np.array([[b'a'], [b'bc']]),
    'wide': np.array(['na\u00efve', '\u4e2d']),
    'empty': np.zeros((0, 3, 2), np.float32),
    'lengths': [3, 2**40, -1],
    'number': np.float32(0.5),
    'plain': ('x', b'y', b'', None, True, 1.5, {}),
  }
}


def write(path, content: bytes):
  path.write_bytes(content)
  return path


def assert_same(found, expected):
  assert type(found) is type(expected)
  if isinstance(expected, dict):
    assert list(found) == list(expected)
    for key, value in expected.items():
      assert_same(found[key], value)
  elif isinstance(expected, np.ndarray):
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
  else:
    assert found == expected


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
@pytest.mark.parametrize('core', [b'numpy._core', b'numpy.core'])
def test_reads_what_pickle_reads(tmp_path, protocol, core):
  content = pickle.dumps(CONTENT, protocol)
  if core == b'numpy.core':  # as numpy before 2 wrote it
    if protocol < 4:
      content = content.replace(b'numpy._core.', b'numpy.core.')
    else:  # a name with its length in front, inside a frame
      added = content.count(b'numpy._core')
      content = content.replace(b'\x8c\x16numpy._core.multiarray', b'\x8c\x15numpy.core.multiarray')
      content = content.replace(b'\x8c\x13numpy._core.numeric', b'\x8c\x12numpy.core.numeric')
      assert b'numpy._core' not in content and added
  assert_same(safe_pickle.load(write(tmp_path / 'x.pkl', content)), CONTENT)


def test_text_of_python_2_is_latin_1(tmp_path):
  """{'caf\\xe9': array([1.5])} as Python 2 wrote it, in protocol 2."""
  content = (
    b'\x80\x02}U\x04caf\xe9cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b'
    b'\x87R(K\x01K\x01\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff'
    b'J\xff\xff\xff\xffK\x00tb\x89U\x08' + struct.pack('<d', 1.5) + b'tbs.'
  )
  (found,) = safe_pickle.load(write(tmp_path / 'x.pkl', content)).items()
  assert found[0] == 'caf\xe9'
  np.testing.assert_array_equal(found[1], [1.5])


class Calls:
  """An object whose pickle calls a function."""

  def __init__(self, function, *arguments):
    self.call = function, arguments

  def __reduce__(self):
    return self.call


MARKER = 'marker'
HOSTILE = {
  'posix.system': Calls(os.system, f'touch {MARKER}'),
  'builtins.eval': Calls(eval, f"open('{MARKER}', 'w')"),
  'builtins.exec': Calls(exec, f"open('{MARKER}', 'w')"),
  'builtins.getattr': Calls(getattr, 'x', 'upper'),
  'subprocess.Popen': Calls(subprocess.Popen, ['touch', MARKER]),
  'numpy.save': Calls(np.save, MARKER, np.zeros(1)),
  'numpy.memmap': Calls(np.memmap, MARKER, 'u1', 'w+', 0, (1,)),
  'numpy.load': Calls(np.load, MARKER),
  'numpy.fromfile': Calls(np.fromfile, MARKER),
  'numpy.zeros': Calls(np.zeros, 2**40),
  'builtins.bytearray': Calls(bytearray, 2**40),
  'pathlib.PosixPath': Calls(__import__('pathlib').PosixPath, MARKER),
}


@pytest.mark.parametrize('protocol', [2, 4, 5])
@pytest.mark.parametrize('name', HOSTILE)
def test_whatever_could_run_code_is_refused_by_name(tmp_path, monkeypatch, name, protocol):
  monkeypatch.chdir(tmp_path)
  bare = HOSTILE[name]
  inside = np.array([['a', bare]], object)
  for number, content in enumerate((bare, {'train': {'id': inside}}, {'a': [(bare,)]})):
    path = write(tmp_path / f'{number}.pkl', pickle.dumps(content, protocol))
    with pytest.raises(UserError) as caught:
      safe_pickle.load(path)
    text = str(caught.value)
    module, _, function = name.rpartition('.')
    # Protocol 2 has the names of Python 2.
    module = {
      'builtins': '(builtins|__builtin__)',
      'numpy': 'numpy[._a-z]*',
      'subprocess': '(subprocess|commands)',
    }.get(module, module)
    assert str(path) in text and 'nothing of it was run' in text
    with pytest.raises(AssertionError, match=f'names {module}.{function}'):
      raise AssertionError(text)
  assert not (tmp_path / MARKER).exists()


def test_hostile_names_do_run_in_pickle_itself(tmp_path, monkeypatch):
  """So that the test above would see a trace."""
  monkeypatch.chdir(tmp_path)
  pickle.loads(pickle.dumps(HOSTILE['posix.system']))
  assert (tmp_path / MARKER).exists()


ARRAY = b'cnumpy._core.multiarray\n_reconstruct\n'
NDARRAY = b'cnumpy\nndarray\n'
FLOAT = b'cnumpy\ndtype\nX\x02\x00\x00\x00f8\x85R'
EMPTY = ARRAY + NDARRAY + b'K\x00\x85C\x01b\x87R'
BILLION = b'\x8a\x05' + struct.pack('<q', 10**9)[:5]


@pytest.mark.parametrize(
  'content, complaint',
  [
    (b'', 'not readable as a pickle'),
    (b'}.', 'expected protocol 2 to 5'),
    (b'(dp0\n.', 'expected protocol 2 to 5'),
    (b'\x80\x04}', 'pickle exhausted'),
    (b'\x80\x04.', 'pop from empty list'),
    (b'\x80\x04a.', 'pop from empty list'),
    (b'\x80\x04' + ARRAY + NDARRAY + BILLION + b'\x85C\x01b\x87R.', 'not made empty first'),
    (b'\x80\x04' + NDARRAY + BILLION + b'\x85R.', 'calls what is no function'),
    (b'\x80\x04' + NDARRAY + BILLION + b'\x85\x81.', 'opcode NEWOBJ'),
    (b'\x80\x04' + EMPTY + b'.', 'an array without content'),
    (b'\x80\x04' + NDARRAY + b'.', 'a name in place of a value'),
    (b'\x80\x04' + EMPTY + b'(K\x01' + BILLION + b'\x85' + FLOAT + b'\x89C\x00tb.', 'with 0 bytes'),
    (b'\x80\x04cnumpy\ndtype\nX\x03\x00\x00\x00V16\x85R.', "numpy type 'V16'"),
    (b'\x80\x04B' + struct.pack('<I', 10**9) + b'ab.', 'expected 1000000000 bytes'),
    (b'\x80\x04\x8e' + struct.pack('<Q', 10**15) + b'ab.', 'expected 1000000000000000 bytes'),
    (b'\x80\x04\x96' + struct.pack('<Q', 10**15) + b'ab.', 'expected 1000000000000000 bytes'),
    (b'\x80\x04}r' + struct.pack('<I', 2**32 - 1) + b'.', None),
    (b'\x80\x04\x95' + struct.pack('<Q', 10**15) + b'}.', None),
    (b'\x80\x04' + b']' * 100 + b'a' * 99 + b'.', 'more than 20 deep'),
    (b'\x80\x04]\x94h\x00a.', 'more than 20 deep'),
    (b'\x80\x04}K\x01\x85K\x02s.', 'a key of type tuple'),
    (b'\x80\x04h\x07.', 'not readable as a pickle'),
    (b'\x80\x04c\xff\nx\n.', 'not readable as a pickle'),
    (b'\x80\x05\x97.', 'opcode NEXT_BUFFER'),
    (b'\x80\x04\x82\x01.', 'opcode EXT1'),
    (b'\x80\x04X\x01\x00\x00\x00aQ.', 'opcode BINPERSID'),
    (b'\x80\x04ios\nsystem\n.', 'opcode INST'),
  ],
)
def test_damage_and_bombs_end_in_a_sentence(tmp_path, content, complaint):
  path = write(tmp_path / 'x.pkl', content)
  tracemalloc.start()
  try:
    if complaint is None:  # odd, and harmless
      assert safe_pickle.load(path) == {}
    else:
      with pytest.raises(UserError, match=f'x.pkl: .*{complaint}'):
        safe_pickle.load(path)
    assert tracemalloc.get_traced_memory()[1] < 3 * len(content) + 200e6
  finally:
    tracemalloc.stop()


def test_more_values_than_a_file_of_features_has_are_refused(tmp_path, monkeypatch):
  """A byte of file can make a dict of 80."""
  monkeypatch.setattr(safe_pickle, '_VALUES', 1000)
  with pytest.raises(UserError, match='more than 1312 values in 10003 bytes'):
    safe_pickle.load(write(tmp_path / 'x.pkl', b'\x80\x04' + b'}' * 10**4 + b'.'))


def test_tuples_within_tuples_do_not_take_for_ever(tmp_path):
  """2^100 leaves that are one empty tuple."""
  content = b'\x80\x04)\x94' + b''.join(b'h%ch%c\x86\x94' % (n, n) for n in range(18)) + b'.'
  found = safe_pickle.load(write(tmp_path / 'x.pkl', content))
  for _ in range(18):
    assert found[0] is found[1]
    (found, _) = found


def test_bytes_made_of_one_text_over_and_over_are_refused(tmp_path):
  text = b'\x80\x04]X' + struct.pack('<I', 10**6) + b'a' * 10**6 + b'\x94a'
  call = b'c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86Ra'
  with pytest.raises(UserError, match='more bytes than the file has'):
    safe_pickle.load(write(tmp_path / 'x.pkl', text + call * 1000 + b'.'))


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(UserError, match='none.pkl: cannot be read'):
    safe_pickle.load(tmp_path / 'none.pkl')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp('mutated')


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from([2, 4, 5]))
def test_whatever_is_changed_it_is_read_or_named(folder, data, protocol):
  content = bytearray(pickle.dumps(CONTENT, protocol))
  for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
    content[place] = data.draw(st.integers(0, 255))
  end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
  path = write(folder / 'x.pkl', bytes(content[:end]))
  try:
    safe_pickle.load(path)
  except UserError as error:
    assert 'x.pkl' in str(error) and '\n' not in str(error)
