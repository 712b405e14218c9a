"""Where exports go, and what may not be overwritten there."""

from __future__ import annotations

import re
from pathlib import Path

from keras_s2s.export.guide.readme import MARK, README
from keras_s2s.system.checks import check_size

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def model_name(output: Path, name: str | None) -> str:
    """The model's name: the folder's when None.

    Raises:
        ValueError: If it cannot be one.
    """
    if name is None:
        name = output.resolve().name
    if not _NAME.fullmatch(name):
        raise ValueError(
            "`name` must be of letters, digits, '_', '-' and '.', the first a letter, a digit or "
            f"'_'; got {name!r}. Give a name (--name)."
        )
    return name


def version_folder(output: Path, name: str, version: int | None, force: bool) -> Path:
    """Where a SavedModel goes: `OUTPUT/serving/NAME/VERSION`, as TensorFlow Serving wants it.

    Args:
        output: the export's folder.
        name: the model's name.
        version: its number; one more than the highest there is when None.
        force: whether a version that exists may be named.

    Returns:
        The folder; it may exist only with `force`.

    Raises:
        ValueError: If the version cannot be one.
        FileExistsError: If the version exists and `force` is not given.
    """
    model = output / "serving" / name
    if version is None:
        present = model.iterdir() if model.is_dir() else ()
        numbers = [int(path.name) for path in present if path.name.isdecimal()]
        return model / str(max(numbers, default=0) + 1)
    check_size("version", version)
    if version >= 2**63:
        raise ValueError(f"`version` must be below 2**63 for TensorFlow Serving; got {version}.")
    folder = model / str(version)
    if folder.exists() and not force:
        raise FileExistsError(
            f"{folder} exists and is not overwritten. Leave the version out for the next one, or "
            "replace it with --force (force=True)."
        )
    return folder


def other_folder(output: Path, kind: str, force: bool) -> Path:
    """Where what has no versions goes: `OUTPUT/onnx`, `OUTPUT/triton`.

    Args:
        output: the export's folder.
        kind: the folder's name.
        force: whether the folder may exist.

    Raises:
        FileExistsError: If it exists and `force` is not given.
    """
    folder = output / kind
    if folder.exists() and not force:
        raise FileExistsError(
            f"{folder} exists and is not overwritten. Choose another output folder, or replace it "
            "with --force (force=True)."
        )
    return folder


def check_readme(output: Path) -> None:
    """Raises FileExistsError for a README that somebody wrote."""
    readme = output / README
    if readme.exists() and MARK not in readme.read_text(encoding="utf-8", errors="replace"):
        raise FileExistsError(
            f"{readme} was not made by an export and is not overwritten. Choose another output "
            "folder, or give the file another name."
        )
