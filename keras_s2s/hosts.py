"""Training on several hosts: a process on each, one model, every batch divided among them.

On Keras' JAX backend, through `keras.distribution.DataParallel` over `jax.distributed`. All
processes run the same program in step. This module owns how they meet, what of a batch is whose,
and how they see that they have the same data; `training` owns what is done with it.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_s2s.pairs import Batch
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

    @contextmanager
    def output(self, folder: Path, begun: str | None = None) -> Iterator[Path]:
        """Where this process writes: process 0 into the folder, another aside, which then goes.

        So the program is one and the same for all, and needs no disk that they share. All must call
        it.

        Args:
            folder: of process 0.
            begun: name of a folder in it that the others need too; they get a copy.
        """
        if self.count == 1:
            yield folder
            return
        packed = self.from_leader(_packed(folder, begun) if begun and self.leads else b"")
        if self.leads:
            yield folder
            return
        with TemporaryDirectory(prefix="keras-s2s-") as aside:
            if packed:
                with zipfile.ZipFile(io.BytesIO(packed)) as archive:
                    archive.extractall(aside)
            yield Path(aside)


def join_hosts(addresses: Sequence[str], host: int) -> Hosts:
    """Makes this process one of several that train a model together. On the JAX backend.

    Call it before anything is computed, in a process on each host; it waits for the others, five
    minutes at most. From then on models are made on all devices of all hosts, and `fit` trains
    them together: what it is given in each process is that process' share of every batch, in step.
    `Corpus.dataset(hosts=...)` makes such shares. Loss, gradients, their clipping and the metrics
    are those of the whole batch, so the result is that of one process.

    Every process must do the same, also what only makes or loads models: they wait for each other.
    `Hosts.save` writes the result. `predict` and decoding are for one process: do them
    in another run, or on another backend, from the saved file.

    Args:
        addresses: `name:port` of each host, the same list on all of them. The first is where they
            meet: its port must be free there, and open to the others. One address is one host
            alone, with all of its devices.
        host: number of this one in the list, from 0.

    Returns:
        `Hosts`.

    Raises:
        ValueError: addresses or a number that are none; another Keras backend; hosts with different
            numbers of devices.
        RuntimeError: something was computed before, or the others did not come.

    Example: the same program on both hosts, which differs in `host` alone.
        ```python
        import keras_s2s as s2s

        hosts = s2s.join_hosts(["10.0.0.1:1234", "10.0.0.2:1234"], host=0)
        model = s2s.Seq2Seq(encoder, decoder)
        model.compile()
        model.fit(corpus.dataset(batch_size=64, shuffle_seed=1, hosts=hosts), shuffle=False)
        hosts.save(model, "model.keras")
        ```
    """
    check_addresses(addresses, host)
    import keras

    if keras.backend.backend() != "jax":
        raise ValueError(
            "Several hosts train together on Keras' JAX backend; this is "
            f"{keras.backend.backend()}. Set KERAS_BACKEND=jax before Keras is imported, or leave "
            "the hosts out."
        )
    import jax

    if len(addresses) > 1:
        keras.distribution.initialize(",".join(addresses), len(addresses), host)
    if jax.device_count() != len(addresses) * jax.local_device_count():
        raise ValueError(
            f"All hosts must have as many devices; host {host} has {jax.local_device_count()} of "
            f"{jax.device_count()} devices on {len(addresses)} hosts."
        )
    # What `fit` is given is this process' share already.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    return Hosts(len(addresses), host, jax.device_count())


def check_addresses(addresses: Sequence[str], host: int) -> None:
    """Raises ValueError unless these are the hosts of a training and this the number of one."""
    if isinstance(addresses, str):
        raise TypeError("`addresses` must be a list; got one str. Pass [address, …].")
    for address in addresses:
        name, _, port = address.rpartition(":")
        if not name or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(f"The address of a host must be name:port; got {address!r}.")
    if len(set(addresses)) != len(addresses) or not addresses:
        raise ValueError(f"There must be hosts, each with its own address; got {addresses}.")
    if not 0 <= host < len(addresses):
        raise ValueError(
            f"The number of this host must be one of {', '.join(map(str, range(len(addresses))))}, "
            f"its place in the list of addresses; got {host}."
        )


def _rounded(size: int) -> int:
    """The least 8·n that is not below, with n of three binary digits."""
    units = -(-size // _UNIT)
    step = 1 << max(0, (units - 1).bit_length() - 3)
    return -(-units // step) * step * _UNIT


def _widened(rows: NDArray, fill: int) -> NDArray:
    return np.pad(
        rows, ((0, 0), (0, _rounded(rows.shape[1]) - rows.shape[1])), constant_values=fill
    )


def _packed(folder: Path, begun: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted((folder / begun).rglob("*")):
            archive.write(file, file.relative_to(folder))
    return packed.getvalue()
