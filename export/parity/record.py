"""The record of an export: the file by which its folder is verified.

`expectation` writes and reads the record. This module only says whether a folder has one, so that
the check imports nothing else of the library.
"""

from __future__ import annotations

from pathlib import Path

EXPECTED = "parity.expected.json"  # the inputs of the comparison and the outputs of Keras


def expected_file(folder: Path) -> Path:
    """Returns the path of the record in an exported folder.

    Args:
        folder: a folder that an export wrote.

    Raises:
        FileNotFoundError: If the folder has no record.
    """
    path = folder / EXPECTED
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing, so there are no expected outputs to compare the export with. Name "
            "the folder that `keras-s2s export` wrote, or export once more."
        )
    return path
