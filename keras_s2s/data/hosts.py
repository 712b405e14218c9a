"""The processes that train one model together, and what they share of batches, data and files.

All processes run the same program in step. `join_hosts` brings them together.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_s2s.data.pairs import Batch
from keras_s2s.system.files import replacing

# Sizes of batches are multiples of this number, so that there are few shapes to compile, and the
# same shapes on 1, 2, 4 or 8 devices.
_UNIT = 8


@dataclass(frozen=True)
class Hosts:
    """The processes that train one model together, and this process among them.

    `join_hosts` makes it.

    Attributes:
        count: number of processes.
        index: number of this process, from 0. Process 0 is the leader, which alone writes the
            result.
        devices: number of devices of all processes together.

    Example: two pairs become eight rows, and this process, the second of two, has four of them.
    >>> import numpy as np
    >>> inputs = {"source_ids": np.array([[5, 3], [6, 3]]), "target_ids": np.array([[2], [2]])}
    >>> batch = inputs, np.array([[3], [3]]), np.ones((2, 1), "float32")
    >>> inputs, labels, weights = Hosts(count=2, index=1, devices=2).share(batch)
    >>> inputs["source_ids"].shape, labels.shape, float(weights.sum())
    ((4, 8), (4, 8), 0.0)
    """

    count: int = 1
    index: int = 0
    devices: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes the result."""
        return self.index == 0

    def share(self, batch: Batch, pad_id: int = 0) -> Batch:
        """Returns the part of a batch that this process trains on. Every process has the batch.

        1. The number of rows and both lengths are rounded up to 8·n, where n is 1 to 8 or, in each
           octave above, one of four steps: 10, 12, 14, 16, 20, 24, … XLA compiles a step for each
           shape that it meets, so there must be few shapes. The number of rows is also rounded up
           to a multiple of the number of devices.
        2. Ids and labels are filled up with `pad_id`, weights with 0. Added rows repeat the inputs
           of the first row. A token of weight 0 counts neither in the loss nor in metrics.
        3. Of B rows, process k of n takes B/n rows, from row k·B/n on. So all parts have the same
           shape, and together they are the batch.

        Args:
            batch: batch as `Corpus.batches` makes it, with inputs of shape `(B, S)` and `(B, T)`,
                labels and weights `(B, T)`.
            pad_id: the id that marks padding.

        Returns:
            The part of the batch, with the same names and dtypes.
        """
        inputs, labels, weights = batch
        pairs = len(labels)
        rows = -(-_rounded(pairs) // self.devices) * self.devices
        part = slice(self.index * rows // self.count, (self.index + 1) * rows // self.count)
        repeated = np.where(np.arange(rows) < pairs, np.arange(rows), 0)[part]
        added = (np.arange(rows) >= pairs)[part]
        shared = {name: _widened(ids[repeated], pad_id) for name, ids in inputs.items()}
        labels, weights = _widened(labels[repeated], pad_id), _widened(weights[repeated], 0)
        labels[added] = pad_id
        weights[added] = 0
        return shared, labels, weights

    def from_leader(self, data: bytes) -> bytes:
        """Returns in every process the bytes that process 0 passes. All processes must call it.

        Args:
            data: bytes to send, which are ignored in all processes but process 0.
        """
        if self.count == 1:
            return data
        from jax.experimental import multihost_utils

        size = multihost_utils.broadcast_one_to_all(np.int32(len(data)))
        message = np.zeros(int(size), np.uint8)
        if self.leads:
            message[:] = np.frombuffer(data, np.uint8)
        return np.asarray(multihost_utils.broadcast_one_to_all(message)).tobytes()

    def check_alike(self, name: str, data: bytes) -> None:
        """Checks that all processes have the same data. All processes must call it.

        Args:
            name: name of the data in the error message.
            data: bytes, which are compared by their SHA-256.

        Raises:
            ValueError: If the data of one process differ. All processes raise the error.
        """
        if self.count == 1:
            return
        from jax.experimental import multihost_utils

        digest = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)
        digests = multihost_utils.process_allgather(digest)  # (count, 32)
        hosts = [str(host) for host, row in enumerate(digests) if (row != digests[0]).any()]
        if hosts:
            raise ValueError(
                f"All hosts must have the same {name}; host 0 and {', '.join(hosts)} differ. Give "
                "every host the same files, settings and versions of packages."
            )

    def save(self, model: Any, path: str | PathLike[str]) -> None:
        """Saves a model as `model.save` does, from process 0 alone and atomically.

        Process 0 writes the whole file or none, and the other processes do nothing. `model.save` by
        itself would wait for them, because Keras creates variables on all hosts while it saves.

        Args:
            model: any Keras model, such as a `Translator`.
            path: file name that ends with `.keras`.
        """
        if not self.leads:
            return
        import keras

        distribution = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            with replacing(path) as temporary:
                model.save(temporary)
        finally:
            keras.distribution.set_distribution(distribution)


def _rounded(size: int) -> int:
    """Rounds up to the next 8·n, where at most the first three binary digits of n are not zero."""
    units = -(-size // _UNIT)
    step = 1 << max(0, (units - 1).bit_length() - 3)
    return -(-units // step) * step * _UNIT


def _widened(rows: NDArray, fill: int) -> NDArray:
    """Pads rows at their end to the rounded length."""
    return np.pad(
        rows, ((0, 0), (0, _rounded(rows.shape[1]) - rows.shape[1])), constant_values=fill
    )
