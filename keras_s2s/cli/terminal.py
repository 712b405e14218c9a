"""What the command says on the terminal: its own lines, and none of TensorFlow's notices."""

from __future__ import annotations

import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text

console = Console(stderr=True, highlight=False, soft_wrap=True)

# Abseil's lines below FATAL, their heading, and the one notice with a second line.
_NOTICE = re.compile(
    rb"[IWE]\d{4} \d\d:\d\d:|WARNING: All log messages before absl::|To enable the following instr"
)


def say(message: str) -> None:
    """One line on standard error, as it is."""
    console.print(Text(message))


def say_error(message: str) -> None:
    """One line on standard error, whatever is in the message."""
    console.print(Text.assemble(("error: ", "bold red"), " ".join(message.split())))


def say_warning(message: str) -> None:
    """One line on standard error, whatever is in the message."""
    console.print(Text.assemble(("warning: ", "yellow"), " ".join(message.split())))


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Python's warnings as lines of this command, without file names and code."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say_warning(str(message))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def quiet_start() -> Iterator[None]:
    """Keeps TensorFlow's start-up notices from standard error, and nothing else.

    TensorFlow logs while its libraries are loaded, before it reads the level that is asked for in
    `TF_CPP_MIN_LOG_LEVEL`, straight to file descriptor 2. So for that time the descriptor is a pipe
    to a child process, which drops the notices and passes on the rest. A child, not a thread: it
    still speaks when loading ends this process, as it does on a processor that TensorFlow was not
    built for. Where no level is asked for, nothing is kept back.
    """
    asked = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") != "0"
    if not asked or "tensorflow" in sys.modules or not hasattr(os, "fork"):
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # From Python 3.12 on, of threads that the child might miss; it uses none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(writer)
        _pass_on(reader, kept)
    os.close(reader)
    os.dup2(writer, 2)
    os.close(writer)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.waitpid(child, 0)


def _pass_on(reader: int, writer: int) -> NoReturn:
    """The child's whole life: lines from one descriptor to the other, but for the notices."""
    # Ctrl-C is for the parent, whose last words are still to be passed on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with open(reader, "rb") as lines:
            for line in lines:
                if not _NOTICE.match(line):
                    os.write(writer, line)
    finally:
        os._exit(0)
