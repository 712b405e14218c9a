"""How long exported models take, measured where they run: without Python's TensorFlow.

    python -m keras_s2s.export.runtimes.latency PATH < {"batches": [[text, …], …]}

prints the median of several runs for each batch. PATH is a version's folder or `model.onnx`.
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

SIZES = (1, 8, 32)
LEAST, MOST, SECONDS = 5, 50, 1.0  # runs of a batch, and when to stop in between


def batches_of(texts: Sequence[str]) -> list[list[str]]:
    """Batches of `SIZES` out of texts, begun anew where there are too few."""
    return [[texts[i % len(texts)] for i in range(size)] for size in SIZES]


def measured(path: Path, batches: Sequence[Sequence[str]]) -> list[float]:
    """The median seconds of each batch, in a program of its own.

    Raises:
        ExportError: If it cannot be run.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", "keras_s2s.export.runtimes.latency", str(path)],
        input=json.dumps({"batches": batches}),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["nothing"]
        raise ExportError(f"{path.name} could not be timed: {lines[-1]}")
    seconds: list[float] = json.loads(done.stdout)
    return seconds


def _runner(path: Path) -> Callable[[np.ndarray], object]:
    """Texts to translations, in the runtime that the path is for."""
    if path.suffix == ".onnx":
        from keras_s2s.export.runtimes.runner import open_session

        session = open_session(path)
        return lambda texts: session.run(["translation"], {"text": texts})
    from keras_s2s.export.serving.c_api import Library, Session

    served = Session(Library(), path)
    return lambda texts: served.run("serving_default", {"text": texts})


def _median(run: Callable[[np.ndarray], object], texts: np.ndarray) -> float:
    run(texts)  # the first run of a shape also plans it
    found: list[float] = []
    while len(found) < LEAST or (len(found) < MOST and sum(found) < SECONDS):
        begin = time.perf_counter()
        run(texts)
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def _array(texts: Sequence[str], *, encoded: bool) -> np.ndarray:
    array = np.empty(len(texts), object)
    array[:] = [text.encode() if encoded else text for text in texts]
    return array


if __name__ == "__main__":
    target = Path(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes where errors go
    go = _runner(target)
    encoded = target.suffix != ".onnx"
    medians = [
        _median(go, _array(batch, encoded=encoded)) for batch in json.load(sys.stdin)["batches"]
    ]
    json.dump(medians, answers)
