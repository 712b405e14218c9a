"""Sorts the rows of a corpus by their lengths.

The number of rows with each pair of lengths is kept in memory. The sorted row numbers are in a file
if the corpus itself is on disk, so that memory stays constant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from keras_s2s.data.flat_arrays import FlatArray, flat_array

# A function from two row numbers to the source and target lengths of the rows from the first number
# up to, but without, the last.
Lengths: TypeAlias = Callable[[int, int], tuple[NDArray[np.int64], NDArray[np.int64]]]

# Number of rows whose lengths are sorted together. They take a few MB, and the number of chunks
# stays small enough to cost nothing.
_CHUNK = 1 << 17


class LengthOrder:
    """The rows sorted by the longer of their two sides, then by how much longer the source is.

    The second key runs up and down in turn, like a snake, so that neighbours are always similar.
    Rows with the same two lengths are a *group*, in which they keep the order of the corpus.

    The rows are sorted by counting. A first pass over the lengths gives the size of each group,
    from which its place follows. A second pass writes every row to the place of its group.

    Args:
        lengths: function that gives the lengths of some neighbouring rows, all at least 1.
        count: number of rows.
        on_disk: whether the row numbers are in a file of the system's temporary folder.

    Attributes:
        source: `(G,)` int64 source length of each group.
        target: `(G,)` int64 target length of each group.
        sizes: `(G,)` int64 number of rows in each group.
        starts: `(G,)` int64 place of the first row of each group.

    Example:
        ```python
        import numpy as np
        from keras_s2s.data.length_order import LengthOrder

        source, target = np.array([9, 1, 5, 2]), np.array([9, 2, 4, 2])
        order = LengthOrder(lambda first, last: (source[first:last], target[first:last]), 4)
        print(order.rows(np.arange(4)))  # [1 3 2 0]
        ```
    """

    def __init__(self, lengths: Lengths, count: int, *, on_disk: bool = False) -> None:
        self.count = count
        chunks = [(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
        rows_of_key: Counter[int] = Counter()
        for chunk in chunks:
            keys, sizes = np.unique(_keys(*lengths(*chunk)), return_counts=True)
            rows_of_key.update(dict(zip(keys.tolist(), sizes.tolist(), strict=True)))
        self._keys = np.array(sorted(rows_of_key), dtype=np.int64)
        self.sizes = np.array([rows_of_key[key] for key in self._keys.tolist()], dtype=np.int64)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.source, self.target = _lengths_of(self._keys)
        self._rows = self._sorted(lengths, chunks, on_disk)

    def groups(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the number of the group at each place of the order."""
        return np.searchsorted(self.starts, places, side="right") - 1

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the number of the row at each place of the order."""
        return self._rows.stretches(places, np.ones_like(places))

    def _sorted(self, lengths: Lengths, chunks: list[tuple[int, int]], on_disk: bool) -> FlatArray:
        """Writes the row numbers in their order, in the second pass of the counting sort."""
        rows = flat_array("int64", on_disk)
        places = dict(zip(self._keys.tolist(), self.starts.tolist(), strict=True))
        for first, last in chunks:
            keys = _keys(*lengths(first, last))
            order = np.argsort(keys, kind="stable")
            chunk_keys, starts = np.unique(keys[order], return_index=True)
            groups = np.split(first + order, starts[1:])
            for key, group in zip(chunk_keys.tolist(), groups, strict=True):
                rows.write(places[key], group)
                places[key] += len(group)
        return rows


def _keys(source: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns one number for each pair of lengths. The numbers sort as `LengthOrder` describes."""
    longer = np.maximum(source, target)
    lead = source - target  # between -longer and longer
    return (longer << 32) + np.where(longer % 2 == 0, lead, -lead) + (1 << 31)


def _lengths_of(keys: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns the source and target lengths of keys, which `_keys` made."""
    longer, snake = keys >> 32, (keys & 0xFFFFFFFF) - (1 << 31)
    lead = np.where(longer % 2 == 0, snake, -snake)
    return longer + np.minimum(lead, 0), longer - np.maximum(lead, 0)
