"""Files against a list that sha256sum wrote."""

import pytest

from persona_jax.data import checksums
from persona_jax.errors import UserError

# printf abc | sha256sum, and of an empty file
ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'


@pytest.fixture
def root(tmp_path):
  (tmp_path / 'in').mkdir()
  (tmp_path / 'abc.csd').write_text('abc')
  (tmp_path / 'in' / 'no thing.csd').write_text('')
  return tmp_path


def sums_of(root, *lines):
  path = root / 'SHA256SUMS'
  path.write_text(''.join(f'{line}\n' for line in lines))
  return path


def test_files_as_listed_are_counted(root):
  sums = sums_of(root, f'{ABC}  abc.csd', '', f'{EMPTY.upper()} *in/no thing.csd')
  assert checksums.verify(sums, root) == 2


def test_missing_and_differing_files_are_named(root):
  lines = [f'{ABC}  abc.csd', f'{ABC}  in/no thing.csd', f'{ABC}  gone.csd', f'{EMPTY}  in']
  with pytest.raises(UserError) as error:
    checksums.verify(sums_of(root, *lines), root)
  assert 'of its 4 files, 3 in ' in str(error.value)
  assert '(missing: gone.csd, in; different: in/no thing.csd)' in str(error.value)


@pytest.mark.parametrize(
  'line, sentence',
  [
    (f'{ABC} abc.csd', 'SHA256SUMS, line 1: .*expected 64 hexadecimal digits, two spaces'),
    (f'{ABC[:-1]}  abc.csd', 'line 1: '),
    ('abc.csd', "line 1: 'abc.csd': expected 64"),
    ('', 'lists no file'),
  ],
)
def test_other_lists_are_refused(root, line, sentence):
  with pytest.raises(UserError, match=sentence):
    checksums.verify(sums_of(root, line), root)


def test_a_list_that_cannot_be_read_is_named(root):
  with pytest.raises(UserError, match='nowhere: not readable'):
    checksums.verify(root / 'nowhere', root)
  (root / 'binary').write_bytes(b'\xff\xfe')
  with pytest.raises(UserError, match='binary: not UTF-8 text'):
    checksums.verify(root / 'binary', root)
