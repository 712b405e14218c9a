"""Where exports go, and what may not be overwritten there."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def version_folder(output: Path, name: str | None, version: int | None, force: bool) -> Path:
    """Where a SavedModel goes: `OUTPUT/serving/NAME/VERSION`, as TensorFlow Serving wants it.

    Args:
        output: the export's folder.
        name: the model's name; the folder's name when None.
        version: its number; one more than the highest there is when None.
        force: whether a version that exists may be named.

    Returns:
        The folder; it may exist only with `force`.

    Raises:
        ValueError: If the name or the version cannot be one.
        FileExistsError: If the version exists and `force` is not given.
    """
    if name is None:
        name = output.resolve().name
    if not _NAME.fullmatch(name):
        raise ValueError(
            "`name` must be of letters, digits, '_', '-' and '.', the first a letter, a digit or "
            f"'_'; got {name!r}. Give a name (--name)."
        )
    model = output / "serving" / name
    if version is None:
        present = model.iterdir() if model.is_dir() else ()
        numbers = [int(path.name) for path in present if path.name.isdecimal()]
        return model / str(max(numbers, default=0) + 1)
    if isinstance(version, bool) or not isinstance(version, int) or not 0 < version < 2**63:
        raise ValueError(f"`version` must be a positive integer; got {version!r}.")
    folder = model / str(version)
    if folder.exists() and not force:
        raise FileExistsError(
            f"{folder} exists and is not overwritten. Leave the version out for the next one, or "
            "replace it with --force (force=True)."
        )
    return folder


def onnx_folder(output: Path, force: bool) -> Path:
    """Where ONNX models go: `OUTPUT/onnx`.

    Args:
        output: the export's folder.
        force: whether the folder may exist.

    Raises:
        FileExistsError: If it exists and `force` is not given.
    """
    folder = output / "onnx"
    if folder.exists() and not force:
        raise FileExistsError(
            f"{folder} exists and is not overwritten. Choose another output folder, or replace it "
            "with --force (force=True)."
        )
    return folder
