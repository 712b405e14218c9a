"""Batches of few shapes, for compilers that compile for each: rows and lengths are rounded up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_s2s.data.pairs import Batch


class BoundedShapes:
    """Which shape each batch is padded to, where lengths are rounded up to a multiple.

    ```
    S, T = longest source and target of the batch, rounded up
    B = batch_size,   or batch_tokens // (S + T), at least 1
    ```

    So B follows from S and T, and a corpus whose longest sides have L ids has at most
    ⌈L / multiple⌉² shapes, whatever its number of pairs; as both sides grow together, few of them
    occur. Rows that a batch lacks are padding from end to end, with weights of zero: they change
    neither loss nor gradients.

    The batches must be planned with rounded lengths: none has more than B pairs then.

    Args:
        multiple: whole number from 1.
        batch_size: as for `BatchPlan`.
        batch_tokens: as for `BatchPlan`.

    Example:
        ```python
        import numpy as np
        from keras_s2s.data.shapes import BoundedShapes

        shapes = BoundedShapes(multiple=8, batch_size=None, batch_tokens=64)
        print(shapes.rounded(np.array([3, 8, 9])), shapes.rows(8, 16))  # [ 8  8 16] 2
        ```
    """

    def __init__(
        self, *, multiple: int, batch_size: int | None = None, batch_tokens: int | None = None
    ) -> None:
        self.multiple = multiple
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens

    def rounded(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Lengths, each up to a multiple."""
        return -(-lengths // self.multiple) * self.multiple

    def rows(self, source: int, target: int) -> int:
        """B, of rounded lengths S and T."""
        if self.batch_size is not None:
            return self.batch_size
        return max(1, (self.batch_tokens or 0) // (source + target))

    def fill(self, batch: Batch, pad_id: int, planned: Batch | None = None) -> Batch:
        """Pads a batch to its shape, weights with zeros.

        Args:
            batch: as `IdPairs.batch` gives it.
            pad_id: of both sides.
            planned: the same rows as they were planned, where segmentations were drawn, which may
                be longer. The number of rows is that of the plan; lengths are rounded up again.
        """
        inputs, labels, weights = batch
        of_plan, labels_of_plan, _ = batch if planned is None else planned
        rows = self.rows(*map(self._length, (of_plan["source_ids"], labels_of_plan)))

        def filled(ids: NDArray[np.int32]) -> NDArray[np.int32]:
            more = ((0, rows - len(ids)), (0, self._length(ids) - ids.shape[1]))
            return np.pad(ids, more, constant_values=pad_id)

        labels = filled(labels)
        short = [(0, a - b) for a, b in zip(labels.shape, weights.shape, strict=True)]
        return {name: filled(ids) for name, ids in inputs.items()}, labels, np.pad(weights, short)

    def _length(self, ids: NDArray[np.int32]) -> int:
        return int(self.rounded(np.array(ids.shape[1])))
