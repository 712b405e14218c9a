"""Folders that appear whole or not at all.

An export writes everything to a temporary folder inside the output folder and renames it into
place. A process that is killed leaves a temporary folder, but never half an artefact; the next
export removes that folder. The folder's name begins with a dot and is no number, so neither
TensorFlow Serving nor a person takes it for a version.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".tmp"


@contextmanager
def staging(output: Path) -> Iterator[Path]:
    """Gives a temporary folder inside the output folder and removes it at the end.

    Temporary folders that dead processes of this machine left are removed first.

    Args:
        output: the output folder, which is made if it does not exist.
    """
    output.mkdir(parents=True, exist_ok=True)
    _clear_stale(output)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{_host()}-{os.getpid()}-", dir=output))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, place: Path, temporary: Path) -> None:
    """Renames a finished folder to its place.

    A folder that is already there moves to `temporary` first. Between the two renames nothing is at
    `place`; a part of a folder is never there.

    Args:
        folder: the finished folder.
        place: the path to publish at, on the same file system.
        temporary: a folder that is about to be removed.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        os.rename(place, temporary / f"replaced-{place.name}")
    os.rename(folder, place)


def _clear_stale(output: Path) -> None:
    for folder in output.glob(f"{PREFIX}-*-*-*"):
        host, process = folder.name.removeprefix(f"{PREFIX}-").rsplit("-", 2)[:2]
        # Nobody here can tell whether a process on another machine is alive.
        if host == _host() and process.isdigit() and not _alive(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _host() -> str:
    return socket.gethostname() or "localhost"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is alive and belongs to someone else
        return True
    return True
