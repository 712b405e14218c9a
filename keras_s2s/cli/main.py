"""Puts the commands of the command line together and turns errors into one line.

A command imports TensorFlow only after everything that can be checked without it. So help appears
at once, and so do errors in arguments, settings, output folders and model files.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from keras_s2s.cli.export import export, verify
from keras_s2s.cli.options import ArgumentError
from keras_s2s.cli.recipe import recipe
from keras_s2s.cli.terminal import one_line_warnings, say_error
from keras_s2s.cli.train import average, compress, quickstart, train
from keras_s2s.cli.translate import evaluate, explain, score, translate
from keras_s2s.system.allocation import keep_freed_memory

app = typer.Typer(
    name="keras-s2s",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def common(
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error and TensorFlow's notices."),
    ] = False,
) -> None:
    """Train, use and export sequence-to-sequence models with attention."""


# The help lists the commands in this order.
for command in (
    *(train, average, compress, translate, evaluate, score, explain),
    *(export, verify, quickstart, recipe),
):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line `keras-s2s`.

    Args:
        arguments: the words that follow `keras-s2s`; `sys.argv[1:]` when omitted.

    Returns:
        The exit code: 0 for success, 1 for an error, 2 for an error in the arguments, 130 after an
        interruption, 141 if nobody reads the output any more.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    if debug:
        words.remove("--debug")
    else:
        # Level 3 is silence. `quiet_start` drops the notices that TensorFlow still writes.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        with one_line_warnings():
            code = app(words or ["--help"], prog_name="keras-s2s", standalone_mode=False)
        sys.stdout.flush()
    except ArgumentError as error:
        command = error.ctx.command_path if error.ctx else "keras-s2s"
        say_error(f"{error.format_message().rstrip('.')}. See `{command} --help`.")
        return 2
    except BrokenPipeError:
        # Nobody reads our output any more, so nothing may be written to it, not even at shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except _failures() as error:
        if debug:
            raise
        say_error(str(error) or type(error).__name__)
        return 1
    return code or 0


def _failures() -> tuple[type[BaseException], ...]:
    """Returns the errors to report in one line, including TensorFlow's if it is imported."""
    known = (ValueError, TypeError, OSError, RuntimeError, ImportError, MemoryError)
    tensorflow = sys.modules.get("tensorflow")
    return known if tensorflow is None else (*known, tensorflow.errors.OpError)
