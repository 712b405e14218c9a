"""Messages on the terminal: the command's own lines, and none of TensorFlow's notices."""

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

# The lines of Abseil's log below FATAL, its heading, and the second line of the one notice of two.
_NOTICE = re.compile(
    rb"[IWE]\d{4} \d\d:\d\d:|WARNING: All log messages before absl::|To enable the following instr"
)


def say(message: str) -> None:
    """Writes a message to standard error, as it is."""
    console.print(Text(message))


def say_error(message: str) -> None:
    """Writes an error to standard error as one line, also where the message has several."""
    console.print(Text.assemble(("error: ", "bold red"), " ".join(message.split())))


def say_warning(message: str) -> None:
    """Writes a warning to standard error as one line, also where the message has several."""
    console.print(Text.assemble(("warning: ", "yellow"), " ".join(message.split())))


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Inside, Python's warnings are lines of this command, without file names and code."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say_warning(str(message))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def quiet_start() -> Iterator[None]:
    """Inside, TensorFlow's start-up notices are kept from standard error, and nothing else is.

    TensorFlow logs straight to file descriptor 2 while its libraries are loaded, before it reads
    the level in `TF_CPP_MIN_LOG_LEVEL`. So for that time the descriptor is a pipe to a child
    process, which drops the notices and passes on the rest. It is a child and not a thread, because
    a child still passes on the last words when loading ends this process, as it does on a processor
    that TensorFlow was not built for. If the variable asks for no level, nothing is dropped.
    """
    quiet = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") != "0"
    if not quiet or "tensorflow" in sys.modules or not hasattr(os, "fork"):
        yield
        return
    sys.stderr.flush()
    standard_error = os.dup(2)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # From Python 3.12 on, a fork warns that the child misses the threads; it uses none.
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
    # Ctrl-C is for the parent, whose last words the child still has to pass on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with open(reader, "rb") as lines:
            for line in lines:
                if not _NOTICE.match(line):
                    os.write(writer, line)
    finally:
        os._exit(0)
