"""The rows of a corpus in the order of their lengths, in memory or in a file.

Of each pair of lengths that occurs it knows how many rows have them; which rows these are is kept
apart, in constant memory where the corpus itself is on disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from keras_s2s.data.flat_arrays import FlatArray, flat_array

# First and last row to the source and target lengths of those from the first to before the last.
Lengths: TypeAlias = Callable[[int, int], tuple[NDArray[np.int64], NDArray[np.int64]]]

# Rows whose lengths are looked at together: a few MB, and seldom enough to cost nothing.
_CHUNK = 1 << 17


class LengthOrder:
    """Rows sorted by the longer of their two sides, then by how much longer the source is.

    That second key runs up and down in turn (a snake), so that neighbours stay similar throughout.
    Rows with the same two lengths are a *group*; in it they keep the order of the corpus.

    They are sorted by counting: one pass over the lengths gives the size, and so the place, of each
    group, a second one writes every row there.

    Args:
        lengths: gives the lengths of some neighbouring rows, all at least 1.
        count: how many rows there are.
        on_disk: keep the row numbers in a file of the system's temporary folder.

    Attributes:
        source: `(G,)` source length in each group, int64.
        target: `(G,)` target length in each group.
        sizes: `(G,)` rows in each group.
        starts: `(G,)` place of the first row of each group.

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
        found: Counter[int] = Counter()
        for chunk in chunks:
            keys, sizes = np.unique(_keys(*lengths(*chunk)), return_counts=True)
            found.update(dict(zip(keys.tolist(), sizes.tolist(), strict=True)))
        self._keys = np.array(sorted(found), dtype=np.int64)
        self.sizes = np.array([found[key] for key in self._keys.tolist()], dtype=np.int64)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.source, self.target = _lengths_of(self._keys)
        self._rows = self._sorted(lengths, chunks, on_disk)

    def groups(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The group that is at each place of the order."""
        return np.searchsorted(self.starts, places, side="right") - 1

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row that is at each place of the order."""
        return self._rows.stretches(places, np.ones_like(places))

    def _sorted(self, lengths: Lengths, chunks: list[tuple[int, int]], on_disk: bool) -> FlatArray:
        rows = flat_array("int64", on_disk)
        places = dict(zip(self._keys.tolist(), self.starts.tolist(), strict=True))
        for first, last in chunks:
            keys = _keys(*lengths(first, last))
            order = np.argsort(keys, kind="stable")
            here, begins = np.unique(keys[order], return_index=True)
            of_groups = np.split(first + order, begins[1:])
            for key, of_group in zip(here.tolist(), of_groups, strict=True):
                rows.write(places[key], of_group)
                places[key] += len(of_group)
        return rows


def _keys(source: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number per pair of lengths that sorts as `LengthOrder` says."""
    longer = np.maximum(source, target)
    lead = source - target  # between -longer and longer
    return (longer << 32) + np.where(longer % 2 == 0, lead, -lead) + (1 << 31)


def _lengths_of(keys: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The source and target lengths that `_keys` made these of."""
    longer, snake = keys >> 32, (keys & 0xFFFFFFFF) - (1 << 31)
    lead = np.where(longer % 2 == 0, snake, -snake)
    return longer + np.minimum(lead, 0), longer - np.maximum(lead, 0)
