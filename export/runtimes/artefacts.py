"""Describes exported artefacts: where each is, what runs it, and how to run its file.

A SavedModel runs in this process's TensorFlow, and an ONNX model runs in a separate process that
never imports TensorFlow. Other ways to run them are in `runtimes`.
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

BATCH_SIZES = (1, 7, 32)  # the batch sizes of the comparison with Keras
RUNNER = Path(__file__).with_name("runner.py")

Run = Callable[[Sequence[Arrays]], Sequence[Arrays]]


class Origin(NamedTuple):
    """Where an artefact is and what runs it.

    Attributes:
        runtime: name of one of `runtimes.RUNTIMES`.
        path: path of the artefact in the output folder.
        signature: name of the signature of a SavedModel, or of the step's file beside an encoder;
            "" for others.
    """

    runtime: str
    path: str
    signature: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.path, self.signature, f"({self.runtime})") if part)


class Artefact(NamedTuple):
    """An exported graph that can be run.

    Attributes:
        name: name in the report, which is the path in the output folder.
        run: function from batches of inputs to batches of outputs; it raises ExportError when it
            fails.
        ids: name and search of a graph from ids to ids; None for a graph from text to text.
        encode: function from Python strings to the arrays that the runtime takes.
        task: name of one of the caller's own tasks, for a graph of another kind.
        origin: where the artefact is and what runs it, so that it can be run again; None for an
            artefact that was made by hand.
        sizes: the batch sizes at which the artefact is compared.
        takes_nothing: whether the artefact accepts an empty batch.
        spec: the declaration of an artefact that declares more than a SavedModel does.
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
    """Returns a function that runs a signature of a SavedModel in this process's TensorFlow."""

    def run(batches: Sequence[Arrays]) -> list[Arrays]:
        try:
            serve = model.signature(signature)
            return [serve(batch) for batch in batches]
        except (tf.errors.OpError, OSError, ValueError) as error:
            name = model.folder.name
            raise ExportError(f"{name} failed to run: {_first_line(str(error))}") from error

    return run


def onnx_run(path: Path, step: Path | None = None) -> Run:
    """Returns a function that runs the file of an ONNX model in a process without TensorFlow.

    Args:
        path: file of the model, or of an encoder if there is a `step`.
        step: file of the step beside the encoder, which the process loops over.
    """

    def run(batches: Sequence[Arrays]) -> list[Arrays]:
        request = {
            "model": str(path),
            "step": str(step) if step else None,
            "batches": [{name: array.tolist() for name, array in b.items()} for b in batches],
        }
        # -P keeps the runner's own folder out of the import path.
        command = [sys.executable, "-P", str(RUNNER)]
        completed = subprocess.run(
            command,
            input=json.dumps(request),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
        if completed.returncode:
            ended = f"its process ended with code {completed.returncode}"
            lines = completed.stderr.strip().splitlines() or [ended]
            raise ExportError(f"{path.name} failed to run: {lines[-1]}")
        answer = json.loads(completed.stdout)
        if "tensorflow" in answer["packages"]:
            raise ExportError(
                f"{path.name} must run without TensorFlow; its process imported TensorFlow."
            )
        return [{name: _array(**value) for name, value in b.items()} for b in answer["batches"]]

    return run


def _array(values: Any, dtype: str, shape: list[int]) -> np.ndarray:
    return np.array(values, dtype).reshape(shape)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no reason given"
