"""What the C library's allocator does with memory that programs free."""

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of <malloc.h>
_KEPT_BYTES = 2**30


def keep_freed_memory() -> bool:
  """Keeps up to 1 GB that is freed for what is allocated next; returns whether it does.

  On CPUs, XLA allocates what a program needs at every call. Above 32 MB, glibc gives freed memory
  back to the kernel at once, which fills every page with zeros when it is needed again. That took a
  tenth of a training step. Other C libraries are left as they are.

  Source: https://man7.org/linux/man-pages/man3/mallopt.3.html
  """
  if not _is_glibc():
    return False
  mallopt = ctypes.CDLL(None).mallopt
  return all(mallopt(name, _KEPT_BYTES) for name in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))


def give_back_freed_memory() -> None:
  """Gives all memory that is free now back to the kernel, with glibc.

  The compiler takes up to a gigabyte per program, in small pieces, of which glibc keeps what other
  threads cannot use.

  Source: https://man7.org/linux/man-pages/man3/malloc_trim.3.html
  """
  if _is_glibc():
    ctypes.CDLL(None).malloc_trim(0)


def _is_glibc() -> bool:
  return platform.libc_ver()[0] == 'glibc'
