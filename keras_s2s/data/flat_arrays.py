"""Arrays of whole numbers that grow at their end, in memory or in a file."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from os import SEEK_END
from tempfile import TemporaryFile
from threading import Lock
from typing import Any, TypeAlias
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

_CODES = {"int32": "i", "int64": "q"}  # type codes of the standard library's `array`


class MemoryArray:
    """A growing array in memory. It is an `array` of the standard library, which grows in place.

    Args:
        dtype: 'int32' or 'int64'.
    """

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._values = array(_CODES[dtype])

    def extend(self, values: Iterable[int]) -> None:
        """Adds numbers at the end."""
        self._values.extend(values)

    def write(self, first: int, values: NDArray[Any]) -> None:
        """Puts numbers at the places from `first` on, which may lie beyond the end."""
        missing = first + len(values) - len(self._values)
        self._values.frombytes(bytes(max(0, missing) * self._values.itemsize))
        np.frombuffer(self._values, dtype=self._dtype)[first : first + len(values)] = values

    def stretches(self, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[Any]:
        """Returns stretches of the array end to end, given their starts and their lengths."""
        values = np.frombuffer(self._values, dtype=self._dtype)
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)
        return values[places]

    def between(self, first: int, last: int) -> NDArray[Any]:
        """Returns the numbers from place `first` to before `last`, as a view."""
        return np.frombuffer(self._values, dtype=self._dtype)[first:last]


class FileArray:
    """A growing array in a file without a name, which is deleted with the array.

    Numbers are read, not mapped into memory, because mapped pages would count as memory of this
    process.

    Args:
        dtype: 'int32' or 'int64'.
    """

    def __init__(self, dtype: str) -> None:
        self._dtype = np.dtype(dtype)
        self._file = TemporaryFile(prefix="keras-s2s-")  # noqa: SIM115 - closed with this object
        finalize(self, self._file.close)
        self._lock = Lock()  # no other thread may seek before this one reads or writes
        self._at_end = True

    def extend(self, values: Iterable[int]) -> None:
        """Adds numbers at the end."""
        with self._lock:
            if not self._at_end:
                self._file.seek(0, SEEK_END)
                self._at_end = True
            self._file.write(array(_CODES[self._dtype.name], values).tobytes())

    def write(self, first: int, values: NDArray[Any]) -> None:
        """Puts numbers at the places from `first` on, which may lie beyond the end."""
        with self._lock:
            self._at_end = False
            self._file.seek(first * self._dtype.itemsize)
            self._file.write(values.astype(self._dtype).tobytes())

    def stretches(self, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[Any]:
        """Returns stretches of the array end to end, given their starts and their lengths."""
        size = self._dtype.itemsize
        parts = []
        with self._lock:
            self._at_end = False
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
                self._file.seek(size * start)
                parts.append(self._file.read(size * length))
        return np.frombuffer(b"".join(parts), dtype=self._dtype)

    def between(self, first: int, last: int) -> NDArray[Any]:
        """Returns the numbers from place `first` to before `last`."""
        return self.stretches(np.array([first]), np.array([last - first]))


FlatArray: TypeAlias = MemoryArray | FileArray


def flat_array(dtype: str, on_disk: bool, values: Sequence[int] = ()) -> FlatArray:
    """Makes an array of some numbers, in a file of the system's temporary folder or in memory."""
    flat = FileArray(dtype) if on_disk else MemoryArray(dtype)
    flat.extend(values)
    return flat
