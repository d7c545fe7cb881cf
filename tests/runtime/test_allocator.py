"""That freed memory is kept, as the kernel's counts of pages show, until it is given back."""

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


# Memory that a thread has freed, in its own heap and in pieces, as the compiler's is.
_GIVING_BACK = f"""
import os, threading
from persona_jax.runtime import allocator

def resident():
  with open('/proc/self/statm') as file:
    return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

def allocate():
  pieces = [bytes(1000) for _ in range({_NUM_BYTES} // 1000)]
  last = bytes(1000)  # nothing before it can be given back by cutting off the end of the heap
  del pieces
  kept.append(last)

assert allocator.keep_freed_memory()
kept = []
thread = threading.Thread(target=allocate)
thread.start()
thread.join()
before = resident()
allocator.give_back_freed_memory()
print(before, resident())
"""

glibc_alone = pytest.mark.skipif(
  platform.libc_ver()[0] != 'glibc', reason='an allocator of glibc alone'
)


def _printed(program: str) -> list[int]:
  done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
  return [int(number) for number in done.stdout.split()]


@glibc_alone
def test_what_is_freed_is_used_again():
  before, after = _printed(_COUNTING)
  assert before > _NUM_BYTES // 2**22  # pages are of 4 KB to 2 MB
  assert after < before / 10


@glibc_alone
def test_what_is_freed_can_be_given_back():
  before, after = _printed(_GIVING_BACK)
  assert after < before - _NUM_BYTES / 2


def test_other_c_libraries_are_left_alone(monkeypatch):
  monkeypatch.setattr(platform, 'libc_ver', lambda: ('', ''))
  monkeypatch.setattr(allocator.ctypes, 'CDLL', lambda name: pytest.fail('called the library'))
  assert not allocator.keep_freed_memory()
  allocator.give_back_freed_memory()
