"""Exported artefacts: where each is, what runs it, and running it out of its file.

A SavedModel runs in this program's TensorFlow, an ONNX model in a program of its own that never
imports TensorFlow. Other ways to run them are in `runtimes`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.export.errors import ExportError
from keras_s2s.export.saved_model.files import LoadedModel
from keras_s2s.export.specs.arrays import Arrays, Encode, as_valid
from keras_s2s.export.specs.spec import IdsSpec, TextSpec
from keras_s2s.search import Search

BATCH_SIZES = (1, 7, 32)  # to compare at
RUNNER = Path(__file__).with_name("runner.py")

Run = Callable[[Sequence[Arrays]], Sequence[Arrays]]


class Origin(NamedTuple):
    """Where an artefact is and what runs it.

    Attributes:
        runtime: one of `runtimes.RUNTIMES`.
        path: its path in the output folder.
        signature: of a SavedModel's signatures, which; else "".
    """

    runtime: str
    path: str
    signature: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.path, self.signature, f"({self.runtime})") if part)


class Artefact(NamedTuple):
    """An exported graph that can be run.

    Attributes:
        name: what the report calls it: its path in the output folder.
        run: batches of inputs to batches of outputs; raises ExportError when it cannot.
        ids: for a graph from ids to ids, its name and the search inside; None for text to text.
        encode: from Python strings to what the runtime takes.
        task: the name of a task of the caller's, for a graph that is neither of these.
        origin: where it is and what runs it, so that it can be run again; None for what was made
            by hand.
        sizes: the batch sizes to compare at.
        takes_nothing: whether it can be given an empty batch.
        spec: what it declares, where that is more than what a SavedModel does.
    """

    name: str
    run: Run
    ids: tuple[str, Search] | None = None
    encode: Encode = as_valid
    task: str | None = None
    origin: Origin | None = None
    sizes: Sequence[int] = BATCH_SIZES
    takes_nothing: bool = True
    spec: IdsSpec | TextSpec | None = None


def signature_run(model: LoadedModel, signature: str) -> Run:
    """Runs a signature of a SavedModel in this program's TensorFlow."""

    def run(batches: Sequence[Arrays]) -> list[Arrays]:
        try:
            serve = model.signature(signature)
            return [serve(batch) for batch in batches]
        except (tf.errors.OpError, OSError, ValueError) as error:
            name = model.folder.name
            raise ExportError(f"{name} failed to run: {_first_line(str(error))}") from error

    return run


def onnx_run(path: Path, step: Path | None = None) -> Run:
    """Runs an ONNX model out of its file, in a program of its own that never imports TensorFlow.

    Args:
        path: the file; of an encoder where there is a `step`.
        step: the other half of a pair, which the program loops over.
    """

    def run(batches: Sequence[Arrays]) -> list[Arrays]:
        request = {
            "model": str(path),
            "step": str(step) if step else None,
            "batches": [{name: array.tolist() for name, array in b.items()} for b in batches],
        }
        # -P: the program's folder holds a module named onnx.
        command = [sys.executable, "-P", str(RUNNER)]
        done = subprocess.run(
            command,
            input=json.dumps(request),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"]
            raise ExportError(f"{path.name} failed to run: {lines[-1]}")
        answer = json.loads(done.stdout)
        if "tensorflow" in answer["packages"]:
            raise ExportError(f"{path.name} was run in a program that imported TensorFlow.")
        return [{name: _array(**value) for name, value in b.items()} for b in answer["batches"]]

    return run


def _array(values: Any, dtype: str, shape: list[int]) -> np.ndarray:
    return np.array(values, dtype).reshape(shape)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no reason given"
