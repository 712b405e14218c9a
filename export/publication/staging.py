"""Folders that appear whole or not at all.

Everything is written to a temporary folder inside the output folder, and moved to its place by a
rename. A process that is killed leaves a temporary folder, never half an artefact; the next export
clears it away. The name begins with a dot and is no number, so neither TensorFlow Serving nor a
person takes it for a version.
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
    """A temporary folder inside `output`, gone at the end; those of dead processes go first."""
    output.mkdir(parents=True, exist_ok=True)
    _clear_stale(output)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{_host()}-{os.getpid()}-", dir=output))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, place: Path, temporary: Path) -> None:
    """Renames a finished folder to its place; what stood there moves to `temporary` first.

    Between the two renames there is nothing at `place`; at no time is there a part of it.

    Args:
        folder: what to publish.
        place: where to; on the same file system.
        temporary: a folder that is about to be cleared.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        os.rename(place, temporary / f"replaced-{place.name}")
    os.rename(folder, place)


def _clear_stale(output: Path) -> None:
    for folder in output.glob(f"{PREFIX}-*-*-*"):
        host, process = folder.name.removeprefix(f"{PREFIX}-").rsplit("-", 2)[:2]
        # Of processes on other machines nothing is known.
        if host == _host() and process.isdigit() and not _alive(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _host() -> str:
    return socket.gethostname() or "localhost"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives and belongs to someone else
        return True
    return True
