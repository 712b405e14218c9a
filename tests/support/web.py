"""Runs exported ONNX models in onnxruntime-web, the runtime of browsers, under Node."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_s2s.export.errors import ExportError
from keras_s2s.export.runtimes.artefacts import Run
from keras_s2s.export.specs.arrays import Arrays

RUNNER = Path(__file__).with_name("web_runner.mjs")
DTYPES = {"int64": np.int64, "float32": np.float32, "string": object}


def web_run(path: Path, folder: Path) -> Run:
    """Runs an ONNX model out of its file.

    In onnxruntime-web 1.30, settings that a caller may give at run time do not reach a model, and
    the operators for models with SentencePiece are missing.

    Args:
        path: the file.
        folder: where `node_modules` holds onnxruntime-web.
    """

    def run(batches: Sequence[Arrays]) -> list[Arrays]:
        given = [
            {
                name: {
                    "values": array.ravel().tolist(),
                    "dtype": "string" if array.dtype == object else str(array.dtype),
                    "shape": array.shape,
                }
                for name, array in batch.items()
            }
            for batch in batches
        ]
        done = subprocess.run(
            ["node", str(RUNNER)],
            input=json.dumps({"model": str(path), "batches": given}),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            cwd=folder,
        )
        if done.returncode:
            raise ExportError(f"{path.name} failed to run in Node: {done.stderr.strip()[-500:]}")
        return [
            {
                name: np.array(
                    [float(x) if value["dtype"] == "float32" else x for x in value["values"]],
                    DTYPES[value["dtype"]],
                ).reshape(value["shape"])
                for name, value in batch.items()
            }
            for batch in json.loads(done.stdout)["batches"]
        ]

    return run
