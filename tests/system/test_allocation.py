"""Freed memory is used again, so no pages are taken from the system a second time."""

import os
import subprocess
import sys

import pytest

# Fills and frees 64 MiB again and again; prints how many pages the last rounds took.
ROUNDS = """
import ctypes
import resource
import numpy as np
from keras_s2s import keep_freed_memory
kept = {call}
ctypes.CDLL(None).mallopt(-1, 128 * 1024)  # as TensorFlow does for datasets of generators
def fill():
    np.full(1 << 23, 1.0)
for _ in range(3):
    fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    fill()
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(call: str) -> tuple[int, int]:
    # Huge pages would be few either way: NumPy asks for them unless it is told not to.
    done = subprocess.run(
        [sys.executable, "-c", ROUNDS.format(call=call)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"},
    )
    kept, pages = map(int, done.stdout.split())
    return kept, pages


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted on Linux")
def test_memory_that_was_freed_is_not_asked_for_again() -> None:
    kept, pages = run("keep_freed_memory()")
    if not kept:
        pytest.skip("another C library than glibc")
    assert pages < 100 < 5 * 16_000 < run("False")[1]  # 64 MiB are 16,384 pages of 4 KiB


def test_the_face_offers_it_without_loading_keras() -> None:
    code = (
        "import sys, keras_s2s\n"
        "from keras_s2s.system.allocation import keep_freed_memory\n"
        "assert keras_s2s.keep_freed_memory is keras_s2s.system.allocation.keep_freed_memory\n"
        "assert keep_freed_memory is keras_s2s.keep_freed_memory\n"
        "assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
