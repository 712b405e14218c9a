"""Pads batches to few shapes, for backends that compile a training step for each shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_s2s.data.pairs import Batch


class BoundedShapes:
    """The few shapes to which batches are padded, with lengths rounded up to a multiple.

    ```
    S, T = longest source and target of the batch, rounded up
    B = batch_size,   or batch_tokens // (S + T), at least 1
    ```

    The number of rows B therefore follows from S and T. A corpus whose longest sides have L ids has
    at most ⌈L / multiple⌉² shapes, whatever its number of pairs. Few of these shapes occur, because
    both sides grow together. A batch with fewer pairs than B gets rows of padding, whose weights of
    zero change neither loss nor gradients.

    The batches must be planned with rounded lengths, so that none has more than B pairs.

    Args:
        multiple: number to whose multiples lengths are rounded up, at least 1.
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
        """Rounds lengths up to multiples."""
        return -(-lengths // self.multiple) * self.multiple

    def rows(self, source: int, target: int) -> int:
        """Returns the number of rows B that follows from rounded lengths S and T."""
        if self.batch_size is not None:
            return self.batch_size
        return max(1, (self.batch_tokens or 0) // (source + target))

    def fill(self, batch: Batch, pad_id: int, planned: Batch | None = None) -> Batch:
        """Pads a batch to its shape. Weights are padded with zeros.

        Args:
            batch: batch as `IdPairs.batch` makes it.
            pad_id: the padding id of both sides.
            planned: batch of the same pairs in their usual segmentation, given if `batch` has drawn
                segmentations. Batches are planned by the usual segmentation, so it gives the number
                of rows. Drawn segmentations may be longer, so their lengths are rounded up again.

        Returns:
            The batch with inputs `(B, S)` and `(B, T)`, labels and weights `(B, T)`.
        """
        inputs, labels, weights = batch
        planned_inputs, planned_labels, _ = batch if planned is None else planned
        rows = self.rows(*map(self._length, (planned_inputs["source_ids"], planned_labels)))

        def filled(ids: NDArray[np.int32]) -> NDArray[np.int32]:
            missing = ((0, rows - len(ids)), (0, self._length(ids) - ids.shape[1]))
            return np.pad(ids, missing, constant_values=pad_id)

        labels = filled(labels)
        missing = [(0, a - b) for a, b in zip(labels.shape, weights.shape, strict=True)]
        filled_inputs = {name: filled(ids) for name, ids in inputs.items()}
        return filled_inputs, labels, np.pad(weights, missing)

    def _length(self, ids: NDArray[np.int32]) -> int:
        """Returns the rounded length of rows `(B, L)`."""
        return int(self.rounded(np.array(ids.shape[1])))
