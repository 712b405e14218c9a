"""Writes the results, with the circumstances in which they were measured, each file atomically."""

from __future__ import annotations

import json
import os
import platform
import re
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import keras_s2s
from keras_s2s.system.files import replacing, write_text
from keras_s2s.system.machine import machine, versions

PACKAGES = ("tensorflow", "keras", "numpy", "matplotlib")


def circumstances() -> dict[str, Any]:
    """Returns the versions, the backend and facts about the machine."""
    return {
        "keras_s2s": keras_s2s.__version__,
        **versions(PACKAGES),
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
        **machine(),
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "load_average_before": [round(x, 2) for x in os.getloadavg()],
    }


def write_json(path: Path, value: Any) -> None:
    """Writes JSON: records as objects, numbers with six digits, a list of numbers on one line."""
    text = json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)
    flat = re.sub(r"\[[^\[\]{}]*\]", lambda row: re.sub(r"\s+", " ", row[0]), text)
    write_text(path, flat + "\n")


def plain(value: Any) -> Any:
    """Returns a value with named tuples as dictionaries and floats with six digits."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(key): plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def write_figure(path: Path, figure: Any) -> None:
    """Writes a figure as a PNG file."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=figure.dpi)
