"""What runs exported artefacts: Python's TensorFlow, TensorFlow's C API, ONNX Runtime.

A runtime here is a class that opens files below one folder and runs them; a new one is a class and
a name in `RUNTIMES`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from keras_s2s.export.errors import ExportError
from keras_s2s.export.parity import Artefact, Origin, Run, onnx_run, signature_run
from keras_s2s.export.saved_model import LoadedModel
from keras_s2s.export.sentences import as_bytes, as_valid
from keras_s2s.export.serving.c_api import StatusError
from keras_s2s.export.serving.process import RemoteSession
from keras_s2s.export.tasks import Arrays, Encode


class Runtime(abc.ABC):
    """Runs the artefacts below a folder; what it opens stays open until `close`."""

    encode: Encode  # from Python strings to what it takes

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abc.abstractmethod
    def run(self, origin: Origin) -> Run:
        """What runs one artefact."""

    def close(self) -> None:
        """Lets go of everything; most hold nothing."""
        return


class PythonTensorFlow(Runtime):
    """A SavedModel in this program's TensorFlow."""

    encode = staticmethod(as_bytes)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._models: dict[str, LoadedModel] = {}

    def run(self, origin: Origin) -> Run:
        if origin.path not in self._models:
            self._models[origin.path] = LoadedModel(self.folder / origin.path)
        return signature_run(self._models[origin.path], origin.signature)


class CApi(Runtime):
    """A SavedModel as a server runs it, in a program that never imports TensorFlow."""

    encode = staticmethod(as_bytes)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._sessions: dict[str, RemoteSession] = {}

    def session(self, path: str) -> RemoteSession:
        """The session of a version's folder; opened once.

        Raises:
            ExportError: If it cannot be.
        """
        if path not in self._sessions:
            try:
                self._sessions[path] = RemoteSession(self.folder / path)
            except StatusError as error:
                raise ExportError(f"{path} failed to load: {error}") from error
        return self._sessions[path]

    def run(self, origin: Origin) -> Run:
        def run(batches: Sequence[Arrays]) -> list[Arrays]:
            session = self.session(origin.path)
            try:
                return [session.run(origin.signature, batch) for batch in batches]
            except (StatusError, KeyError) as error:
                raise ExportError(f"{origin} failed to run: {error}") from error

        return run

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()


class OnnxRuntime(Runtime):
    """An ONNX model in ONNX Runtime, in a program that never imports TensorFlow."""

    encode = staticmethod(as_valid)

    def run(self, origin: Origin) -> Run:
        return onnx_run(self.folder / origin.path)


class OnnxPair(Runtime):
    """An encoder and the step beside it, looped over by the greedy search of `runner`."""

    encode = staticmethod(as_valid)

    def run(self, origin: Origin) -> Run:
        encoder = self.folder / origin.path
        return onnx_run(encoder, encoder.with_name(origin.signature))


RUNTIMES: dict[str, Callable[[Path], Runtime]] = {
    "Python": PythonTensorFlow,
    "C API": CApi,
    "ONNX Runtime": OnnxRuntime,
    "ONNX Runtime, looped": OnnxPair,
}


class Runtimes:
    """One runtime of each kind below a folder. Make them with `runtimes_below`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._open: dict[str, Runtime] = {}

    def __getitem__(self, name: str) -> Runtime:
        if name not in RUNTIMES:
            raise ExportError(f"There is no runtime {name!r}; there are {', '.join(RUNTIMES)}.")
        if name not in self._open:
            runtime = self._open[name] = RUNTIMES[name](self._folder)
            self._stack.callback(runtime.close)
        return self._open[name]

    def c_api(self, path: str) -> RemoteSession:
        """The session that serves a version's folder."""
        runtime = self["C API"]
        if not isinstance(runtime, CApi):
            raise TypeError(f"The runtime 'C API' must be a CApi; got {type(runtime).__name__}.")
        return runtime.session(path)

    def artefact(self, origin: Origin, task: str) -> Artefact:
        """What is compared: an artefact, what runs it, and the name of its task."""
        runtime = self[origin.runtime]
        name = str(origin)
        return Artefact(name, runtime.run(origin), None, runtime.encode, task, origin)


@contextmanager
def runtimes_below(folder: Path) -> Iterator[Runtimes]:
    """Runtimes for what is below a folder, closed at the end."""
    with ExitStack() as stack:
        yield Runtimes(folder, stack)
