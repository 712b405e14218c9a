"""The folders of an export in its output folder, and the checks that they are free."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from keras_s2s.export.guide.readme import MARK, README
from keras_s2s.system.checks import check_size

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Places(NamedTuple):
    """The folders that an export publishes; a format that is not exported has None.

    Attributes:
        saved_model: the version folder for TensorFlow Serving.
        onnx: the folder of the ONNX models.
        triton: the folder of the model repository for Triton.
        version: the number of this version of the model, with or without a SavedModel.
    """

    saved_model: Path | None
    onnx: Path | None
    triton: Path | None
    version: int


def places_of(
    output: Path, name: str, version: int | None, formats: Collection[str], *, force: bool
) -> Places:
    """Returns the folders of an export and checks that each of them is free.

    Args:
        output: the output folder of the export.
        name: the model's name.
        version: the version number; one more than the highest existing one when None.
        formats: the formats to export.
        force: whether the folders may exist.

    Raises:
        ValueError: If `version` is no version number.
        FileExistsError: If a folder would be overwritten without `force`, or a README that no
            export wrote.
    """
    saved_model = version_folder(output, name, version, force)
    onnx, triton = (
        other_folder(output, kind, force) if kind in formats else None
        for kind in ("onnx", "triton")
    )
    check_readme(output)
    number = int(saved_model.name)
    return Places(saved_model if "serving" in formats else None, onnx, triton, number)


def model_name(output: Path, name: str | None) -> str:
    """Returns the model's name, which is that of the output folder unless one is given.

    Args:
        output: the output folder of the export.
        name: the name that the caller gave, or None.

    Raises:
        ValueError: If the name has characters that a model's name may not have.
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
    """Returns the folder of a SavedModel, `OUTPUT/serving/NAME/VERSION`.

    TensorFlow Serving expects this layout.

    Args:
        output: the output folder of the export.
        name: the model's name.
        version: the version number; one more than the highest existing one when None.
        force: whether a version that exists may be named.

    Returns:
        The folder, which exists only with `force`.

    Raises:
        ValueError: If `version` is no version number.
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
    """Returns the folder of a format without versions, `OUTPUT/onnx` or `OUTPUT/triton`.

    Args:
        output: the output folder of the export.
        kind: the folder's name.
        force: whether the folder may exist.

    Raises:
        FileExistsError: If the folder exists and `force` is not given.
    """
    folder = output / kind
    if folder.exists() and not force:
        raise FileExistsError(
            f"{folder} exists and is not overwritten. Choose another output folder, or replace it "
            "with --force (force=True)."
        )
    return folder


def check_readme(output: Path) -> None:
    """Checks that a README in the output folder, if there is one, was written by an export.

    Args:
        output: the output folder of the export.

    Raises:
        FileExistsError: If somebody else wrote the README.
    """
    readme = output / README
    if readme.exists() and MARK not in readme.read_text(encoding="utf-8", errors="replace"):
        raise FileExistsError(
            f"{readme} was not made by an export and is not overwritten. Choose another output "
            "folder, or give the file another name."
        )
