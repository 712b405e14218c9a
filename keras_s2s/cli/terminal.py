"""Prints messages on the terminal, and keeps TensorFlow's notices from it."""

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

# The lines of Abseil's log below FATAL, its heading, and the second line of the only notice that
# has two lines.
_NOTICE = re.compile(
    rb"[IWE]\d{4} \d\d:\d\d:|WARNING: All log messages before absl::|To enable the following instr"
)


def say(message: str) -> None:
    """Writes a message to standard error, without markup."""
    console.print(Text(message))


def say_error(message: str) -> None:
    """Writes an error to standard error as one line, even if the message has several lines."""
    console.print(Text.assemble(("error: ", "bold red"), " ".join(message.split())))


def say_warning(message: str) -> None:
    """Writes a warning to standard error as one line, even if the message has several lines."""
    console.print(Text.assemble(("warning: ", "yellow"), " ".join(message.split())))


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Prints Python's warnings within the `with` block as one line, without file name and code."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say_warning(str(message))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def quiet_start() -> Iterator[None]:
    """Keeps only TensorFlow's start-up notices from standard error within the `with` block.

    TensorFlow logs straight to file descriptor 2 while its libraries are loaded, before it reads
    the level in `TF_CPP_MIN_LOG_LEVEL`. So within the block the descriptor is a pipe to a child
    process, which drops the notices and passes on the rest. A child process, unlike a thread, still
    passes on the last message if loading ends this process, as it does on a processor for which
    TensorFlow was not built. If the variable asks for no level, nothing is dropped.
    """
    quiet = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") != "0"
    if not quiet or "tensorflow" in sys.modules or not hasattr(os, "fork"):
        yield
        return
    sys.stderr.flush()
    standard_error = os.dup(2)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # From Python 3.12 on, a fork warns that the child lacks the threads. The child uses none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(writer)
        _pass_on(reader, standard_error)
    os.close(reader)
    os.dup2(writer, 2)
    os.close(writer)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.waitpid(child, 0)


def _pass_on(reader: int, writer: int) -> NoReturn:
    """Copies all lines but the notices from one descriptor to another, then ends the child."""
    # Ctrl-C is for the parent, whose last messages the child still has to pass on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with open(reader, "rb") as lines:
            for line in lines:
                if not _NOTICE.match(line):
                    os.write(writer, line)
    finally:
        os._exit(0)
