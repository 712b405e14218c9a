"""Runs exported artefacts in Python's TensorFlow, TensorFlow's C API, a server or ONNX Runtime.

A runtime is a class that opens files below one folder and runs them. To add one, write a class and
give it a name in `RUNTIMES`.
"""

from __future__ import annotations

import abc
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from keras_s2s.export.errors import ExportError
from keras_s2s.export.runtimes.artefacts import (
    BATCH_SIZES,
    Artefact,
    Origin,
    Run,
    onnx_run,
    signature_run,
)
from keras_s2s.export.saved_model.files import LoadedModel
from keras_s2s.export.serving.batching import Batcher
from keras_s2s.export.serving.c_api import StatusError
from keras_s2s.export.serving.json_tensors import tensor
from keras_s2s.export.serving.process import RemoteSession
from keras_s2s.export.serving.rest import RestServer
from keras_s2s.export.specs.arrays import Arrays, Encode, as_bytes, as_valid

MODEL = "model"  # any name will do for the simulated server


class Runtime(abc.ABC):
    """A runtime for the artefacts below a folder, which keeps them open until `close`.

    Args:
        runtimes: the runtimes of that folder, among which this is one.
    """

    encode: Encode  # function from Python strings to the arrays that the runtime takes
    sizes: Sequence[int] = BATCH_SIZES  # the batch sizes at which artefacts are compared
    takes_nothing = True  # whether it accepts an empty batch

    def __init__(self, runtimes: Runtimes) -> None:
        self.runtimes = runtimes

    @abc.abstractmethod
    def run(self, origin: Origin) -> Run:
        """Returns a function that runs one artefact and raises ExportError when that fails."""

    def close(self) -> None:
        """Closes everything that is open. Most runtimes keep nothing open."""
        return


class PythonTensorFlow(Runtime):
    """Runs a SavedModel in this process's TensorFlow."""

    encode = staticmethod(as_bytes)

    def __init__(self, runtimes: Runtimes) -> None:
        super().__init__(runtimes)
        self._models: dict[str, LoadedModel] = {}

    def run(self, origin: Origin) -> Run:
        if origin.path not in self._models:
            self._models[origin.path] = LoadedModel(self.runtimes.folder / origin.path)
        return signature_run(self._models[origin.path], origin.signature)


class CApi(Runtime):
    """Runs a SavedModel as a server does, in a process that never imports TensorFlow."""

    encode = staticmethod(as_bytes)

    def run(self, origin: Origin) -> Run:
        def run(batches: Sequence[Arrays]) -> list[Arrays]:
            session = self.runtimes.session(origin.path)
            if origin.signature not in session.signatures:
                raise ExportError(
                    f"{origin.path} must have the signature {origin.signature!r}; got "
                    f"{sorted(session.signatures)}."
                )
            try:
                return [self._batch(session, origin.signature, batch) for batch in batches]
            except StatusError as error:
                raise ExportError(f"{origin} failed to run: {error}") from error

        return run

    def _batch(self, session: RemoteSession, signature: str, batch: Arrays) -> Arrays:
        return session.run(signature, batch)


class Merged(CApi):
    """Sends each sentence as one request, and merges requests as a server with batching does."""

    sizes = tuple(size for size in BATCH_SIZES if size > 1)
    takes_nothing = False

    def _batch(self, session: RemoteSession, signature: str, batch: Arrays) -> Arrays:
        rows = len(next(iter(batch.values())))
        requests = [_request(batch, row) for row in range(rows)]
        answers = Batcher(session).run(signature, requests)
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _request(batch: Arrays, row: int) -> dict[str, np.ndarray]:
    """Returns one row of a batch, with its ids cut to their length so that the server pads them."""
    request = {name: array[row : row + 1] for name, array in batch.items()}
    if "input_lengths" in request:
        request["input_ids"] = request["input_ids"][:, : int(request["input_lengths"][0])]
    return request


class Rest(CApi):
    """Sends a batch as JSON in the row format of a server's REST interface."""

    sizes = BATCH_SIZES[-1:]
    takes_nothing = False  # the row format has no empty batch

    def _batch(self, session: RemoteSession, signature: str, batch: Arrays) -> Arrays:
        code, content = RestServer(session, MODEL).answer(
            "POST", f"/v1/models/{MODEL}:predict", self._body(signature, batch)
        )
        answer = json.loads(content.decode("utf-8", "surrogateescape"))
        if code != 200:
            raise ExportError(f"REST answered {code}: {answer['error']}")
        outputs = session.signatures[signature].outputs
        columns = self._columns(answer, list(outputs))
        return {name: tensor(columns[name], info.dtype) for name, info in outputs.items()}

    def _body(self, signature: str, batch: Arrays) -> bytes:
        values = {name: _plain(array) for name, array in batch.items()}
        if len(values) == 1:
            (instances,) = values.values()
        else:
            pairs = zip(*values.values(), strict=True)
            instances = [dict(zip(values, row, strict=True)) for row in pairs]
        return _body(signature, "instances", instances)

    def _columns(self, answer: dict[str, Any], names: list[str]) -> dict[str, Any]:
        rows = answer["predictions"]
        if len(names) == 1:
            return {names[0]: rows}
        return {name: [row[name] for row in rows] for name in names}


class RestColumns(Rest):
    """Sends a batch as JSON in the columnar format of a server's REST interface."""

    def _body(self, signature: str, batch: Arrays) -> bytes:
        return _body(signature, "inputs", {name: _plain(array) for name, array in batch.items()})

    def _columns(self, answer: dict[str, Any], names: list[str]) -> dict[str, Any]:
        return {names[0]: answer["outputs"]} if len(names) == 1 else dict(answer["outputs"])


def _body(signature: str, key: str, values: Any) -> bytes:
    request = {"signature_name": signature, key: values}
    # Raw bytes, whether valid UTF-8 or not, because a server reads them as they come.
    return json.dumps(request, ensure_ascii=False).encode("utf-8", "surrogateescape")


def _plain(array: np.ndarray) -> list[Any]:
    if array.dtype == object:
        return [text.decode("utf-8", "surrogateescape") for text in array.tolist()]
    return list(array.tolist())


class OnnxRuntime(Runtime):
    """Runs an ONNX model in ONNX Runtime, in a process that never imports TensorFlow."""

    encode = staticmethod(as_valid)

    def run(self, origin: Origin) -> Run:
        return onnx_run(self.runtimes.folder / origin.path)


class OnnxPair(Runtime):
    """Runs an encoder and the step beside it, in the greedy search of `runner`."""

    encode = staticmethod(as_valid)

    def run(self, origin: Origin) -> Run:
        encoder = self.runtimes.folder / origin.path
        return onnx_run(encoder, encoder.with_name(origin.signature))


RUNTIMES: dict[str, Callable[[Runtimes], Runtime]] = {
    "Python": PythonTensorFlow,
    "C API": CApi,
    "merged requests": Merged,
    "REST rows": Rest,
    "REST columns": RestColumns,
    "ONNX Runtime": OnnxRuntime,
    "ONNX Runtime, looped": OnnxPair,
}


class Runtimes:
    """The runtimes of a folder, each opened on its first use. Make them with `runtimes_below`.

    Attributes:
        folder: folder of an export, or the folder that will become it.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self._open: dict[str, Runtime] = {}
        self._sessions: dict[str, RemoteSession] = {}

    def __getitem__(self, name: str) -> Runtime:
        if name not in RUNTIMES:
            raise ExportError(f"A runtime must be one of {', '.join(RUNTIMES)}; got {name!r}.")
        if name not in self._open:
            runtime = self._open[name] = RUNTIMES[name](self)
            self._stack.callback(runtime.close)
        return self._open[name]

    def session(self, path: str) -> RemoteSession:
        """Returns the session that serves the folder of a version, opened once.

        Raises:
            ExportError: If the SavedModel fails to load.
        """
        if path not in self._sessions:
            try:
                session = self._sessions[path] = RemoteSession(self.folder / path)
            except StatusError as error:
                raise ExportError(f"{path} failed to load: {error}") from error
            self._stack.callback(session.close)
        return self._sessions[path]

    def artefact(self, origin: Origin, task: str) -> Artefact:
        """Returns the artefact at an origin, to be compared by the task of that name."""
        runtime = self[origin.runtime]
        return Artefact(
            str(origin),
            runtime.run(origin),
            encode=runtime.encode,
            task=task,
            origin=origin,
            sizes=runtime.sizes,
            takes_nothing=runtime.takes_nothing,
        )


@contextmanager
def runtimes_below(folder: Path) -> Iterator[Runtimes]:
    """Opens the runtimes of a folder, and closes them at the end of the `with` block."""
    with ExitStack() as stack:
        yield Runtimes(folder, stack)
