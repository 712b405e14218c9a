"""Joins rows of ids into one rectangular array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def padded(
    rows: Sequence[Sequence[int]], pad_id: int = 0, dtype: np.typing.DTypeLike = "int32"
) -> np.ndarray:
    """Joins rows of ids into one array, each row padded at its end to the longest one.

    Args:
        rows: `B` sequences of ids, of any lengths.
        pad_id: the id that follows the end of shorter rows.
        dtype: dtype of the array.

    Returns:
        `(B, L)`, where `L` is the length of the longest row; `(0, 1)` if there are no rows.

    Example:
    >>> padded([[5, 6, 7], [8]]).tolist()
    [[5, 6, 7], [8, 0, 0]]
    """
    longest = max((len(row) for row in rows), default=1)
    ids = np.full((len(rows), longest), pad_id, dtype)
    for row, place in zip(rows, ids, strict=True):
        place[: len(row)] = row
    return ids
