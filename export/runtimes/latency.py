"""Measures how long exported models take, in a process without Python's TensorFlow.

    python -m keras_s2s.export.runtimes.latency PATH < {"batches": [[text, …], …]}

prints the median seconds of several runs for each batch. PATH is the folder of a SavedModel's
version, or `model.onnx`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from keras_s2s.export.errors import ExportError
from keras_s2s.export.specs.arrays import as_valid

SIZES = (1, 8, 32)
# Each batch runs at least `LEAST` and at most `MOST` times. In between, it stops after `SECONDS`.
LEAST, MOST, SECONDS = 5, 50, 1.0


def batches_of(texts: Sequence[str]) -> list[list[str]]:
    """Returns batches of `SIZES` made of texts, which repeat where there are too few.

    Invalid bytes become U+FFFD, because ONNX Runtime takes nothing but valid UTF-8.
    """
    valid = as_valid(texts)
    return [[valid[i % len(valid)] for i in range(size)] for size in SIZES]


def measured(path: Path, batches: Sequence[Sequence[str]]) -> list[float]:
    """Returns the median seconds of each batch, measured in a separate process.

    Raises:
        ExportError: If the model cannot be run.
    """
    completed = subprocess.run(
        [sys.executable, "-P", "-m", "keras_s2s.export.runtimes.latency", str(path)],
        input=json.dumps({"batches": batches}),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if completed.returncode:
        ended = f"its process ended with code {completed.returncode}"
        lines = completed.stderr.strip().splitlines() or [ended]
        raise ExportError(f"{path.name} could not be timed: {lines[-1]}")
    seconds: list[float] = json.loads(completed.stdout)
    return seconds


def _runner(path: Path) -> Callable[[np.ndarray], object]:
    """Returns a function from texts to translations, in the runtime that a path belongs to."""
    if path.suffix == ".onnx":
        from keras_s2s.export.runtimes.runner import open_session

        session = open_session(path)
        return lambda texts: session.run(["translation"], {"text": texts})
    from keras_s2s.export.serving.c_api import Library
    from keras_s2s.export.serving.session import Session

    served = Session(Library(), path)
    return lambda texts: served.run("serving_default", {"text": texts})


def _median(run: Callable[[np.ndarray], object], texts: np.ndarray) -> float:
    run(texts)  # not measured: a runtime plans memory for a new shape
    seconds: list[float] = []
    while len(seconds) < LEAST or (len(seconds) < MOST and sum(seconds) < SECONDS):
        begin = time.perf_counter()
        run(texts)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def _array(texts: Sequence[str], *, encoded: bool) -> np.ndarray:
    array = np.empty(len(texts), object)
    array[:] = [text.encode() if encoded else text for text in texts]
    return array


if __name__ == "__main__":
    target = Path(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output that libraries print goes to standard error
    translate = _runner(target)
    encoded = target.suffix != ".onnx"
    medians = [
        _median(translate, _array(batch, encoded=encoded))
        for batch in json.load(sys.stdin)["batches"]
    ]
    json.dump(medians, answers)
