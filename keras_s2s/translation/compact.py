"""Compact files of translators, a quarter of the size, with weight matrices stored in 8 bits.

A compact file only saves space on disk. Its weights become float32 again before they are used.
"""

from __future__ import annotations

import tempfile
import zipfile
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from keras_s2s.system.files import replacing

WEIGHTS = "model.weights.h5"  # the name that Keras gives the weights in its archive
COMPACT_WEIGHTS = "model.weights.int8.h5"
_SCALE = "scale"
# In matrices with fewer rows, such as the biases of recurrent layers, the scales of the columns
# take as much space as the 8 bits save.
_LEAST_ROWS = 8


def write_compact(path: str | PathLike[str], output: str | PathLike[str]) -> None:
    """Writes a compact copy of a `.keras` file, with its weight matrices in 8 bits.

    Each float32 matrix of 8 rows or more becomes integers `q` from −127 to 127 and one scale `s`
    for each column: `W ≈ q · s` with `s = max |W| / 127` over the column. No number changes by more
    than `s / 2`. Everything else stays as it is. `load_translator` and the commands read the file,
    but `keras.saving.load_model` does not.

    Args:
        path: a file that Keras wrote, such as `translator.keras`.
        output: the file to write. A file that is there is replaced by a complete new one, or not at
            all.

    Raises:
        ValueError: If the file is compact already, or if its weights are not finite.
    """
    if is_compact(path):
        raise ValueError(
            f"`{path}` is compact already; expected a .keras file with float32 weights. Copy the "
            "file instead."
        )
    _rewrite(path, output, WEIGHTS, COMPACT_WEIGHTS, _to_8_bits)


def write_whole(path: str | PathLike[str], output: str | PathLike[str]) -> None:
    """Writes a copy of a compact file that Keras reads, with the matrices `q · s` in float32.

    Args:
        path: a file that `write_compact` wrote.
        output: the file to write. A file that is there is replaced by a complete new one, or not at
            all.

    Raises:
        ValueError: If the file is not compact.
    """
    if not is_compact(path):
        raise ValueError(
            f"`{path}` is not compact: it has no {COMPACT_WEIGHTS}. Keras reads the file as it is."
        )
    _rewrite(path, output, COMPACT_WEIGHTS, WEIGHTS, _to_float32)


def is_compact(path: str | PathLike[str]) -> bool:
    """Returns whether a `.keras` file is compact, as `write_compact` writes it."""
    with zipfile.ZipFile(path) as archive:
        return COMPACT_WEIGHTS in archive.namelist()


def _rewrite(path: Any, output: Any, old: str, new: str, convert: Any) -> None:
    """Copies an archive with the file of its weights converted and renamed."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
        with (
            h5py.File(archive.extract(old, folder), "r") as source,
            h5py.File(Path(folder, new), "w") as target,
        ):
            _copy(source, target, convert)
        with replacing(output) as temporary, zipfile.ZipFile(temporary, "w") as written:
            for entry in archive.infolist():
                if entry.filename == old:
                    # Deflating makes integers smaller, but for float32 it would only take time.
                    packed = new == COMPACT_WEIGHTS
                    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
                    written.write(Path(folder, new), new, method)
                else:
                    written.writestr(entry, archive.read(entry))


def _copy(source: h5py.Group, target: h5py.Group, convert: Any) -> None:
    for name, value in source.items():
        if isinstance(value, h5py.Group):
            _copy(value, target.create_group(name), convert)
        else:
            data, attributes = convert(value)
            copied = target.create_dataset(name, data=data)
            for key, attribute in attributes.items():
                copied.attrs[key] = attribute
    for key, attribute in source.attrs.items():
        target.attrs[key] = attribute


def _to_8_bits(dataset: h5py.Dataset) -> tuple[np.ndarray, dict[str, Any]]:
    values, attributes = dataset[()], dict(dataset.attrs)
    if values.dtype != np.float32 or values.ndim != 2 or len(values) < _LEAST_ROWS:
        return values, attributes
    if not np.isfinite(values).all():
        raise ValueError(
            f"The weights `{dataset.name}` are not finite, so 8 bits cannot hold them. The "
            "training diverged; take an earlier model."
        )
    scale = np.abs(values).max(axis=0) / np.float32(127)
    steps = np.where(scale > 0, scale, np.float32(1))  # a column of zeros stays zero
    integers = np.clip(np.rint(values / steps), -127, 127).astype(np.int8)
    return integers, {**attributes, _SCALE: scale}


def _to_float32(dataset: h5py.Dataset) -> tuple[np.ndarray, dict[str, Any]]:
    attributes = dict(dataset.attrs)
    scale = attributes.pop(_SCALE, None)
    return (dataset[()] if scale is None else dataset[()] * scale), attributes
