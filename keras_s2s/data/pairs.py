"""Holds pairs of id lists in flat arrays, and makes padded batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from keras_s2s.data.flat_arrays import flat_array

Batch: TypeAlias = tuple[dict[str, NDArray[np.int32]], NDArray[np.int32], NDArray[np.float32]]


class IdPairs:
    """Pairs of sources and targets as ids, which take 4 bytes an id and 8 bytes a sentence.

    The start and end ids are not stored. `batch` adds them.

    Args:
        start_id: the id before the first one of each target.
        end_id: the id after the last one of each source and target.
        pad_id: the id that fills rows up to the longest of a batch.
        on_disk: whether the ids are in a file of the system's temporary folder (`TMPDIR`) instead
            of memory. The file is deleted with this object.

    Example:
        ```python
        import numpy as np
        from keras_s2s.data.pairs import IdPairs

        pairs = IdPairs(start_id=2, end_id=3, pad_id=0)
        pairs.append([5, 6], [7])
        pairs.append([5], [8, 9])
        inputs, labels, weights = pairs.batch(np.array([1, 0]))
        print(inputs["source_ids"].tolist())  # [[5, 3, 0], [5, 6, 3]]
        print(inputs["target_ids"].tolist())  # [[2, 8, 9], [2, 7, 0]]
        print(labels.tolist())  # [[8, 9, 3], [7, 3, 0]]
        print(weights.tolist())  # [[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]
        ```
    """

    def __init__(self, *, start_id: int, end_id: int, pad_id: int, on_disk: bool = False) -> None:
        self.start_id = start_id
        self.end_id = end_id
        self.pad_id = pad_id
        self._source, self._target = _Rows(on_disk), _Rows(on_disk)
        self._count = 0

    def __len__(self) -> int:
        """Returns the number of pairs so far."""
        return self._count

    def append(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Adds one pair.

        Args:
            source: ids below 2³¹, without the end id.
            target: ids below 2³¹, without the start and end id.
        """
        self._source.append(source)
        self._target.append(target)
        self._count += 1

    def lengths(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the lengths of sources and of targets in pairs `first:last`, with end ids."""
        return self._source.lengths(first, last), self._target.lengths(first, last)

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """Makes a batch of some pairs, shifted and padded for teacher forcing.

        With the source `x1 … xm`, the target `y1 … yn` and padding on the right:

            source_ids  x1 x2 … xm end       (B, S) int32
            target_ids  start y1 … yn        (B, T) int32
            labels      y1 y2 … yn end       (B, T) int32, `labels[:, t] == target_ids[:, t + 1]`
            weights     1  1  … 1  1         (B, T) float32, 0 where the label is padding

        Args:
            rows: `(B,)` row numbers, at least one.

        Returns:
            `({"source_ids", "target_ids"}, labels, weights)`.
        """
        source_ids, _ = self._source.padded(rows, self.end_id, self.pad_id)
        labels, real = self._target.padded(rows, self.end_id, self.pad_id)
        target_ids = np.full_like(labels, self.start_id)
        target_ids[:, 1:] = np.where(real[:, 1:], labels[:, :-1], self.pad_id)
        inputs = {"source_ids": source_ids, "target_ids": target_ids}
        return inputs, labels, real.astype(np.float32)


class _Rows:
    """The ids of all sentences of one side, end to end."""

    def __init__(self, on_disk: bool) -> None:
        self._ids = flat_array("int32", on_disk)
        self._starts = flat_array("int64", on_disk, [0])
        self._end = 0

    def append(self, ids: Sequence[int]) -> None:
        self._end += len(ids)
        self._ids.extend(ids)
        self._starts.extend([self._end])

    def lengths(self, first: int, last: int) -> NDArray[np.int64]:
        starts = self._starts.between(first, last + 1)
        return starts[1:] - starts[:-1] + 1

    def padded(
        self, rows: NDArray[np.int64], end_id: int, pad_id: int
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Returns rows with their end ids, `(B, L)` int32, and `(B, L)` bool, False on padding."""
        bounds = self._starts.stretches(rows, np.full_like(rows, 2)).reshape(-1, 2)
        first = bounds[:, 0]  # (B,)
        last = (bounds[:, 1] - first)[:, np.newaxis]  # (B, 1), where the end id goes
        position = np.arange(last.max() + 1)  # (L,)
        ids = np.where(position == last, end_id, pad_id).astype(np.int32)  # (B, L)
        ids[position < last] = self._ids.stretches(first, last[:, 0])
        return ids, position <= last
