"""Lets a process keep the memory that it frees. The choice holds for the whole process."""

from __future__ import annotations

import ctypes

# Parameters of glibc's mallopt(3), as <malloc.h> numbers them.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_NEVER = 2**31 - 1
# Number of bytes that glibc asks of the system at once. They are untouched until they are needed,
# and are never given back. This setting matters most in the end, because TensorFlow 2.21 sets the
# trim threshold back to 128 kB when it makes a dataset of a generator.
_GROWTH = 1 << 30


def keep_freed_memory() -> bool:
    """Lets this process keep the memory it frees, so that training steps run faster.

    By default, glibc asks the system for every large piece of memory and returns the piece when it
    is freed, and the system fills each page with zeros. A training step takes and frees hundreds of
    megabytes of tensors, so this cost a fifth of the processor time of a step in the project's
    benchmarks. The peak of memory in use hardly changes.

    The command line calls this function. The library does not, because it must not choose for the
    whole process. A program that trains models can call it, preferably before TensorFlow is
    imported. Starting the program with `MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=2147483647
    MALLOC_TOP_PAD_=1073741824` has the same effect.

    Returns:
        Whether the process now keeps the memory that it frees. If its C library is not glibc, the
        result is False and nothing changes.

    Example:
        ```python
        import keras_s2s

        keras_s2s.keep_freed_memory()
        ```
    """
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - other C libraries number the parameters otherwise
        set_option = library.mallopt
    except (OSError, TypeError, AttributeError):
        return False
    options = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _GROWTH))
    return all([set_option(option, value) == 1 for option, value in options])
