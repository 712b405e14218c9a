"""How the C library under TensorFlow treats memory that was freed. A choice for a whole process."""

from __future__ import annotations

import ctypes

# Of glibc's mallopt(3): the parameters, as <malloc.h> numbers them.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_NEVER = 2**31 - 1
# Bytes asked of the system at once, untouched until they are needed, and never given back. That is
# what counts in the end: TensorFlow (2.21) sets the trim threshold again, to 128 kB, when it makes
# a dataset of a generator.
_GROWTH = 1 << 30


def keep_freed_memory() -> bool:
    """Lets this process keep the memory it frees, to use it again without asking the system.

    By default glibc maps every large piece of memory anew and gives it back when it is freed, and
    the system fills each page of it with zeros. A training step frees and takes hundreds of
    megabytes of tensors, so this took a fifth of the processor time of one step in the project's
    benchmarks. The most memory in use hardly changes.

    The command line does this for itself. A library must not choose for the whole process, so a
    program that trains calls it, best before TensorFlow is imported; or it is started with
    `MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_TOP_PAD_=1073741824`, which is the
    same.

    Returns:
        Whether it was done. False with another C library than glibc, where nothing changes.

    Example:
        ```python
        import keras_s2s

        keras_s2s.keep_freed_memory()
        ```
    """
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - other libraries' mallopt may number otherwise
        set_option = library.mallopt
    except (OSError, TypeError, AttributeError):
        return False
    options = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _GROWTH))
    return all([set_option(option, value) == 1 for option, value in options])
