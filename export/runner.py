"""Runs an exported ONNX model where there is no TensorFlow: needs onnxruntime and numpy alone.

    python runner.py model.onnx < source.txt > target.txt

translates line by line; a model with SentencePiece needs onnxruntime-extensions as well. The parity
run starts this file as a program of its own, since TensorFlow and onnxruntime-extensions crash in
one process; it then reads `{"model": path, "batches": [{input name: rows}]}` from standard input
and writes `{"batches": [{output name: rows}], "packages": {name: version}}`. So nothing here
imports the rest of the library.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

DTYPES = {"tensor(string)": object, "tensor(int64)": np.int64, "tensor(float)": np.float32}
EXTENSIONS_DOMAIN = b"ai.onnx.contrib"


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """A session for the file; registers onnxruntime-extensions when the file names their domain."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    if EXTENSIONS_DOMAIN in path.read_bytes():
        import onnxruntime_extensions

        options.register_custom_ops_library(onnxruntime_extensions.get_library_path())
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_batches(
    session: onnxruntime.InferenceSession, batches: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Runs batches of nested lists; gives nested lists, with the dtype and shape of each output."""
    inputs = {value.name: value for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    for batch in batches:
        given = {}
        for name, rows in batch.items():
            array = np.array(rows, DTYPES[inputs[name].type])
            # A list without rows does not tell how many axes there are.
            missing = len(inputs[name].shape) - array.ndim
            given[name] = array.reshape(array.shape + (1,) * missing)
        returned = zip(names, session.run(names, given), strict=True)
        yield {
            name: {"values": array.tolist(), "dtype": str(array.dtype), "shape": array.shape}
            for name, array in returned
        }


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What the parity run asks for."""
    session = open_session(Path(request["model"]))
    batches = list(run_batches(session, request["batches"]))
    names = ("numpy", "onnxruntime", "onnxruntime_extensions", "tensorflow")
    loaded = {name: sys.modules[name].__version__ for name in names if name in sys.modules}
    return {"batches": batches, "packages": loaded}


def translate_lines(path: Path, batch_size: int = 32) -> None:
    """Standard input to standard output, line by line."""
    session = open_session(path)
    texts = sys.stdin.buffer.read().decode("utf-8", "replace").split("\n")
    if texts[-1] == "":
        texts.pop()
    for first in range(0, len(texts), batch_size):
        for batch in run_batches(session, [{"text": texts[first : first + batch_size]}]):
            lines = "".join(f"{line}\n" for line in batch["translation"]["values"])
            sys.stdout.buffer.write(lines.encode())
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        translate_lines(Path(sys.argv[1]))
    elif len(sys.argv) == 1:
        json.dump(answer(json.load(sys.stdin)), sys.stdout)
    else:
        sys.exit("usage: python runner.py model.onnx < source.txt > target.txt")
