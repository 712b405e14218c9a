"""The processes that train one model together: which part of a batch is whose, what they share.

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

# Sizes of batches are multiples of it: few shapes to compile, and the same on 1, 2, 4 or 8 devices.
_UNIT = 8


@dataclass(frozen=True)
class Hosts:
    """The processes that train together, and which of them this one is. `join_hosts` makes it.

    Attributes:
        count: number of processes.
        index: number of this one, from 0; the process 0 leads: it alone writes the result.
        devices: devices of all processes together.

    Example: two pairs become eight, of which this process, the second of two, has four.
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
        """What this process trains on, of a batch that every process has.

        1. Rows and both lengths are rounded up to 8·n, where n is 1 to 8, or in each octave above
           one of four steps: 10, 12, 14, 16, 20, 24, … XLA compiles a step for each shape it
           meets; so there are few. Rows, besides, to a multiple of the number of devices.
        2. Ids and labels are filled up with `pad_id`, weights with 0; added rows repeat the inputs
           of the first. What has weight 0 counts neither in loss nor in metrics.
        3. Of B rows, process k of n has those from k·B/n on. So all have equal shapes, and together
           they have the batch.

        Args:
            batch: as `Corpus.batches` gives them: inputs of shape `(B, S)` and `(B, T)`, labels and
                weights `(B, T)`.
            pad_id: the id that is no token.

        Returns:
            The same, with other sizes.
        """
        inputs, labels, weights = batch
        real = len(labels)
        rows = -(-_rounded(real) // self.devices) * self.devices
        mine = slice(self.index * rows // self.count, (self.index + 1) * rows // self.count)
        repeated = np.where(np.arange(rows) < real, np.arange(rows), 0)[mine]
        added = (np.arange(rows) >= real)[mine]
        shared = {name: _widened(ids[repeated], pad_id) for name, ids in inputs.items()}
        labels, weights = _widened(labels[repeated], pad_id), _widened(weights[repeated], 0)
        labels[added] = pad_id
        weights[added] = 0
        return shared, labels, weights

    def from_leader(self, data: bytes) -> bytes:
        """What process 0 gives; the others give anything. All must call it."""
        if self.count == 1:
            return data
        from jax.experimental import multihost_utils

        size = multihost_utils.broadcast_one_to_all(np.int32(len(data)))
        sent = np.zeros(int(size), np.uint8)
        if self.leads:
            sent[:] = np.frombuffer(data, np.uint8)
        return np.asarray(multihost_utils.broadcast_one_to_all(sent)).tobytes()

    def check_alike(self, what: str, data: bytes) -> None:
        """Makes sure that all processes have the same. All must call it.

        Args:
            what: its name, for the message.
            data: compared by its SHA-256.

        Raises:
            ValueError: in all of them, if one has something else.
        """
        if self.count == 1:
            return
        from jax.experimental import multihost_utils

        digest = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)
        digests = multihost_utils.process_allgather(digest)  # (count, 32)
        others = [str(host) for host, one in enumerate(digests) if (one != digests[0]).any()]
        if others:
            raise ValueError(
                f"All hosts must have the same {what}; host 0 and {', '.join(others)} differ. Give "
                "every host the same files, settings and versions of packages."
            )

    def save(self, model: Any, path: str | PathLike[str]) -> None:
        """Writes a model, such as a `Translator`, as `model.save` does: a whole file or none.

        Process 0 writes it, the others do nothing. `model.save` itself would wait for them, since
        Keras makes variables in it, which are on all hosts.

        Args:
            model: any Keras model.
            path: a file name that ends with `.keras`.
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
    """The least 8·n that is not below, with n of three binary digits."""
    units = -(-size // _UNIT)
    step = 1 << max(0, (units - 1).bit_length() - 3)
    return -(-units // step) * step * _UNIT


def _widened(rows: NDArray, fill: int) -> NDArray:
    return np.pad(
        rows, ((0, 0), (0, _rounded(rows.shape[1]) - rows.shape[1])), constant_values=fill
    )
