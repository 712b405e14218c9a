"""Serves a SavedModel in a process of its own, with TensorFlow's C API and without its Python.

    python -m keras_s2s.export.serving.process FOLDER [SITE [LEFT_OUT…]]

loads the SavedModel with the shared libraries of SITE and answers JSON lines; `RemoteSession` is
the other end. The process is separate because a process can load only one TensorFlow, and because a
model that needs Python's TensorFlow after all must fail here.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from keras_s2s.export.errors import ExportError
from keras_s2s.export.serving.c_api import Library, StatusError
from keras_s2s.export.serving.session import Session, Signature, TensorInfo


class Servable(Protocol):
    """A protocol for whatever serves a SavedModel: a `Session` or a `RemoteSession`."""

    signatures: dict[str, Signature]

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Runs a signature as `Session.run` does."""


class RemoteSession:
    """A `Session` in a process of its own, which lives until `close`.

    Args:
        folder: the SavedModel's version folder.
        site: folder of TensorFlow's shared libraries; that of the installed ones when omitted.
        leave_out: names of libraries of TensorFlow Text that the server lacks.

    Attributes:
        signatures: the model's signatures by name.
        version: version of the TensorFlow that serves the model.

    Raises:
        StatusError: If TensorFlow fails to load the model.
        ExportError: If the process does not start, or if it has imported TensorFlow.
    """

    def __init__(
        self, folder: Path, site: Path | None = None, leave_out: Iterable[str] = ()
    ) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        chosen = [] if site is None else [str(site), *leave_out]
        self._process = subprocess.Popen(
            # -P: the current folder may hold modules of any name.
            [sys.executable, "-P", "-m", "keras_s2s.export.serving.process", str(folder), *chosen],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        try:
            answer = self._answer()
        except (ExportError, StatusError):
            self.close()
            raise
        self.version: str = answer["version"]
        self.signatures = {
            name: Signature(*({key: _info(value) for key, value in side.items()} for side in sides))
            for name, sides in answer["signatures"].items()
        }

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Runs a signature as `Session.run` does, in the other process."""
        request = {
            "signature": signature,
            "inputs": to_json(inputs),
            "outputs": None if outputs is None else list(outputs),
        }
        return from_json(self._answer(request)["outputs"])

    def close(self) -> None:
        """Ends the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # the process ended before it had read everything
                    stream.close()
        self._process.wait()
        self._errors.close()

    def __enter__(self) -> RemoteSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        line = ""
        if stdin is not None and stdout is not None:
            with suppress(BrokenPipeError):
                if request is not None:
                    stdin.write(json.dumps(request) + "\n")
                    stdin.flush()
                line = stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            errors = self._errors.read().decode("utf-8", "replace").strip()
            raise ExportError(
                f"The process that serves the SavedModel ended with code "
                f"{self._process.returncode} and said: {(errors.splitlines() or ['nothing'])[-1]}"
            )
        answer: dict[str, Any] = json.loads(line)
        if answer["imported"]:
            raise ExportError(
                "A SavedModel must be served without Python's TensorFlow; its process imported "
                "TensorFlow."
            )
        if "error" in answer:
            raise StatusError(answer["code"], answer["error"])
        return answer


def to_json(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Describes arrays exactly in JSON types; bytes that are not valid UTF-8 are escaped."""
    entries = {}
    for name, array in arrays.items():
        content: Any
        if array.dtype == object:
            content = [text.decode("utf-8", "surrogateescape") for text in array.ravel().tolist()]
        else:
            content = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
        entries[name] = {"dtype": str(array.dtype), "shape": array.shape, "content": content}
    return entries


def from_json(entries: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Restores the arrays that `to_json` described."""
    arrays = {}
    for name, entry in entries.items():
        content, shape = entry["content"], entry["shape"]
        if entry["dtype"] == "object":
            array = np.empty(len(content), object)
            array[:] = [text.encode("utf-8", "surrogateescape") for text in content]
        else:
            array = np.frombuffer(base64.b64decode(content), entry["dtype"])
        arrays[name] = array.reshape(shape)
    return arrays


def _info(fields: list[Any]) -> TensorInfo:
    operation, place, dtype, shape = fields
    return TensorInfo(operation, place, dtype, None if shape is None else tuple(shape))


def _serve(folder: Path, site: Path | None, leave_out: list[str]) -> None:
    """Answers the lines of standard input until it ends."""
    # Output that TensorFlow prints goes to standard error.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**answer: Any) -> None:
        answers.write(json.dumps({**answer, "imported": "tensorflow" in sys.modules}) + "\n")
        answers.flush()

    try:
        library = Library(site, leave_out)
        session = Session(library, folder)
    except StatusError as error:
        say(error=str(error), code=error.code)
        return
    say(version=library.version, signatures=session.signatures)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            outputs = session.run(
                request["signature"], from_json(request["inputs"]), request["outputs"]
            )
        except StatusError as error:
            say(error=str(error), code=error.code)
        else:
            say(outputs=to_json(outputs))


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None, list(sys.argv[3:]))
