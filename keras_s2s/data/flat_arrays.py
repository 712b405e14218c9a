"""Whole numbers end to end, as many as come, in memory or in a file. It knows not what they are."""

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

_CODES = {"int32": "i", "int64": "q"}  # of the standard library's arrays


class MemoryArray:
    """Numbers in memory, in an array of the standard library because that grows in place.

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
        """Puts numbers at the places from `first` on, also beyond the end."""
        missing = first + len(values) - len(self._values)
        self._values.frombytes(bytes(max(0, missing) * self._values.itemsize))
        np.frombuffer(self._values, dtype=self._dtype)[first : first + len(values)] = values

    def stretches(self, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[Any]:
        """The numbers from each start on, so many as its length says, one stretch after another."""
        values = np.frombuffer(self._values, dtype=self._dtype)
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)
        return values[places]

    def between(self, first: int, last: int) -> NDArray[Any]:
        """The numbers from place `first` to before `last`; a view."""
        return np.frombuffer(self._values, dtype=self._dtype)[first:last]


class FileArray:
    """The same in a file without a name, which goes when the last that uses it goes.

    Numbers are read, not mapped into memory: mapped pages would count as this process'.

    Args:
        dtype: 'int32' or 'int64'.
    """

    def __init__(self, dtype: str) -> None:
        self._dtype = np.dtype(dtype)
        self._file = TemporaryFile(prefix="keras-s2s-")  # noqa: SIM115 - closed with this object
        finalize(self, self._file.close)
        self._turn = Lock()  # a place in the file is looked for and used in one go
        self._at_end = True

    def extend(self, values: Iterable[int]) -> None:
        """Adds numbers at the end."""
        with self._turn:
            if not self._at_end:
                self._file.seek(0, SEEK_END)
                self._at_end = True
            self._file.write(array(_CODES[self._dtype.name], values).tobytes())

    def write(self, first: int, values: NDArray[Any]) -> None:
        """As `MemoryArray.write`."""
        with self._turn:
            self._at_end = False
            self._file.seek(first * self._dtype.itemsize)
            self._file.write(values.astype(self._dtype).tobytes())

    def stretches(self, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[Any]:
        """As `MemoryArray.stretches`."""
        size = self._dtype.itemsize
        parts = []
        with self._turn:
            self._at_end = False
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
                self._file.seek(size * start)
                parts.append(self._file.read(size * length))
        return np.frombuffer(b"".join(parts), dtype=self._dtype)

    def between(self, first: int, last: int) -> NDArray[Any]:
        """The numbers from place `first` to before `last`."""
        return self.stretches(np.array([first]), np.array([last - first]))


FlatArray: TypeAlias = MemoryArray | FileArray


def flat_array(dtype: str, on_disk: bool, values: Sequence[int] = ()) -> FlatArray:
    """An array with these numbers in it, in the system's temporary folder or in memory."""
    flat = FileArray(dtype) if on_disk else MemoryArray(dtype)
    flat.extend(values)
    return flat
