"""That freed memory is kept: the kernel counts pages that it hands out."""

import platform
import subprocess
import sys

import pytest

from persona_jax.runtime import allocator

_NUM_BYTES = 2**28
# An allocator's settings stay until its process ends.
_COUNTING = f"""
import resource
from persona_jax.runtime import allocator

def new_pages():
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  b'x' * {_NUM_BYTES}
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

new_pages()
print(new_pages())
assert allocator.keep_freed_memory()
new_pages()
print(new_pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='an allocator of glibc alone')
def test_what_is_freed_is_used_again():
  printed = subprocess.run(
    [sys.executable, '-c', _COUNTING], capture_output=True, text=True, check=True
  ).stdout
  before, after = map(int, printed.split())
  assert before > _NUM_BYTES // 2**22  # pages are of 4 KB to 2 MB
  assert after < before / 10


def test_other_c_libraries_are_left_alone(monkeypatch):
  monkeypatch.setattr(platform, 'libc_ver', lambda: ('', ''))
  monkeypatch.setattr(allocator.ctypes, 'CDLL', lambda name: pytest.fail('called the library'))
  assert not allocator.keep_freed_memory()
