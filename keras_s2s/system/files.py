"""Writes files atomically: a reader finds the old file or the new one, never a part of it.

Everything is written to a temporary sibling of the target, flushed to the disk and then renamed. A
process that is killed leaves only the sibling, whose name begins with `.tmp-`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8 atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes texts atomically, each as one line. The texts must not contain line ends."""
    write_text(path, "".join(f"{line}\n" for line in lines))


def write_json(path: Path, value: Any, **options: Any) -> None:
    """Writes a value as JSON atomically.

    Args:
        path: file to write or replace.
        value: anything that `json.dumps` takes.
        **options: further arguments of `json.dumps`. By default, the text is indented by two spaces
            and keeps characters of all scripts.
    """
    options = {"indent": 2, "ensure_ascii": False, **options}
    write_text(path, json.dumps(value, **options) + "\n")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary sibling of `path`, which replaces `path` at the end of the `with` block.

    The block makes the sibling, as a file or as a folder, with the permissions that new files have.
    If the block raises an error, the sibling is removed and `path` stays as it was.

    Args:
        path: the file to write or replace, or a folder that does not exist yet.

    Yields:
        The path to write to. Its name ends like that of `path`, so that writers that look at the
        suffix work as usual.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder, "greeting.txt")) as temporary:
        ...         _ = temporary.write_text("hello")
        ...     [file.name for file in Path(folder).iterdir()]
        ['greeting.txt']
    """
    temporary = temporary_sibling(path)
    try:
        yield temporary
        if temporary.is_file():
            _flush(temporary)
        temporary.replace(path)
    except BaseException:
        _remove(temporary)
        raise


def temporary_sibling(path: str | os.PathLike[str]) -> Path:
    """Returns the path that this process writes to before it renames the file to `path`."""
    path = Path(path)
    return path.with_name(f".tmp-{os.getpid()}-{path.name}")


def _flush(path: Path) -> None:
    """Waits until the content is on the disk, so that a power failure leaves no empty file."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
