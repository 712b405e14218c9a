"""The record of an export: the file by which its folder is verified.

`expectation` writes and reads it. Whether it is there is known here without loading anything.
"""

from __future__ import annotations

from pathlib import Path

EXPECTED = "parity.expected.json"  # what was compared, and what Keras gave for it


def expected_file(folder: Path) -> Path:
    """The file by which an exported folder is verified.

    Raises:
        FileNotFoundError: If there is none.
    """
    path = folder / EXPECTED
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: there is nothing to hold the export against. Name the folder that "
            "`keras-s2s export` wrote, or export once more."
        )
    return path
