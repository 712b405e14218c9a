"""A SavedModel served by a program of its own, which has TensorFlow's C API and no Python of it.

    python -m keras_s2s.export.serving.process FOLDER [SITE [LEFT_OUT…]]

loads the SavedModel with the shared libraries of SITE and answers JSON lines; `RemoteSession` is
the other end. A program of its own, because one process can load one TensorFlow, and because a
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
from keras_s2s.export.serving.c_api import Library, Session, Signature, StatusError, TensorInfo


class Servable(Protocol):
    """What serves a SavedModel: a `Session` or a `RemoteSession`."""

    signatures: dict[str, Signature]

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Runs a signature."""


class RemoteSession:
    """A `Session` in a program of its own, which lives until `close`.

    Args:
        folder: the SavedModel's version folder.
        site: where the shared libraries are; the installed ones when omitted.
        leave_out: libraries of TensorFlow Text that the server lacks.

    Attributes:
        signatures: the model's signatures by name.
        version: of the TensorFlow that serves.

    Raises:
        StatusError: If TensorFlow does not load the model.
        ExportError: If the program does not start, or has imported TensorFlow.
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
            found = self._answer()
        except (ExportError, StatusError):
            self.close()
            raise
        self.version: str = found["version"]
        self.signatures = {
            name: Signature(*({key: _info(value) for key, value in side.items()} for side in sides))
            for name, sides in found["signatures"].items()
        }

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """See `Session.run`."""
        request = {
            "signature": signature,
            "inputs": to_json(inputs),
            "outputs": None if outputs is None else list(outputs),
        }
        return from_json(self._answer(request)["outputs"])

    def close(self) -> None:
        """Ends the program."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # it ended before it had read all
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
            said = self._errors.read().decode("utf-8", "replace").strip().splitlines() or [
                "nothing"
            ]
            raise ExportError(
                f"The program that serves the SavedModel ended with code "
                f"{self._process.returncode} and said: {said[-1]}"
            )
        answer: dict[str, Any] = json.loads(line)
        if answer["imported"]:
            raise ExportError("The SavedModel was served by a program that imported TensorFlow.")
        if "error" in answer:
            raise StatusError(answer["code"], answer["error"])
        return answer


def to_json(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays as JSON types, bit by bit; bytes that are no UTF-8 are escaped."""
    found = {}
    for name, array in arrays.items():
        content: Any
        if array.dtype == object:
            content = [text.decode("utf-8", "surrogateescape") for text in array.ravel().tolist()]
        else:
            content = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
        found[name] = {"dtype": str(array.dtype), "shape": array.shape, "content": content}
    return found


def from_json(found: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays that `to_json` described."""
    arrays = {}
    for name, entry in found.items():
        content, shape = entry["content"], entry["shape"]
        if entry["dtype"] == "object":
            array = np.empty(len(content), object)
            array[:] = [text.encode("utf-8", "surrogateescape") for text in content]
        else:
            array = np.frombuffer(base64.b64decode(content), entry["dtype"])
        arrays[name] = array.reshape(shape)
    return arrays


def _info(found: list[Any]) -> TensorInfo:
    operation, index, dtype, shape = found
    return TensorInfo(operation, index, dtype, None if shape is None else tuple(shape))


def _serve(folder: Path, site: Path | None, leave_out: list[str]) -> None:
    """Answers lines of standard input until it ends."""
    # What TensorFlow prints goes where errors go.
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
