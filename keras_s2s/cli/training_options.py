"""The options of `train`, which are made from the settings of a training.

A setting is declared only on its field of `TrainingSettings`, and its option is made from this
declaration. Only options that are not settings are written here, namely the options that set both
sides at once, and the options for the hosts and for an earlier training.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_s2s.cli.options import ArgumentError
from keras_s2s.cli.signature import signed, written_parameters
from keras_s2s.training.settings.declaration import Setting, declared
from keras_s2s.training.settings.settings import TrainingSettings

_output = partial(typer.Option, rich_help_panel="Output")
_hosts = partial(typer.Option, rich_help_panel="Several hosts")
Resume = Annotated[
    bool,
    _output(
        "--resume",
        help="Go on with the training in the output folder, after its last finished epoch.",
    ),
]
ForceTraining = Annotated[
    bool, _output("--force", help="Replace an earlier training in the output folder.")
]
Hosts = Annotated[
    str | None,
    _hosts(
        metavar="LIST",
        help="Addresses of all hosts that train together, as name:port with commas between them. "
        "Give the same list on every host, and set KERAS_BACKEND=jax.",
    ),
]
Host = Annotated[
    int | None,
    _hosts(help="Position of this host in --hosts, from 0. Host 0 writes the output."),
]
# An option with one of these names sets `source_NAME` and `target_NAME`, unless they are given.
BOTH_SIDES = {
    "tokenizer": "Kind of both tokenizers.",
    "vocabulary_size": "Number of ids of each vocabulary.",
}


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Decorates a command that takes `settings` with the options of a training.

    The command gets all of them as one argument `settings`, a `TrainingSettings`. Its other
    parameters are options as usual, and are listed last.
    """
    others = written_parameters(command)
    del others["settings"]

    def wrapped(**values: Any) -> None:
        of_others = {name: values.pop(name) for name in others}
        command(settings=_settings(values), **of_others)

    return signed(wrapped, command, [*parameters(TrainingSettings), *others.values()])


def parameters(settings: type) -> Iterator[inspect.Parameter]:
    """Yields a parameter for each option, annotated for typer.

    Args:
        settings: dataclass whose fields declare settings.
    """
    for setting in declared(settings).values():
        side, _, shared = setting.name.partition("_")
        if side in ("source", "target") and shared in BOTH_SIDES:
            if side == "source":
                both = BOTH_SIDES[shared]
                yield _parameter(dataclasses.replace(setting, name=shared, help=both))
            setting = dataclasses.replace(
                setting, optional=True, default=None, none=f"as `{shared}`"
            )
        yield _parameter(setting)


def as_options(text: str) -> str:
    """Returns a text in which options replace the names of settings that are in backticks.

    Args:
        text: help or error, such as "`batch_size` must be at least 1".
    """
    names = {*declared(TrainingSettings), *BOTH_SIDES}
    return re.sub(
        r"`(\w+)`",
        lambda name: f"--{name[1].replace('_', '-')}" if name[1] in names else name[0],
        text,
    )


def _settings(values: dict[str, Any]) -> TrainingSettings:
    """Returns the settings of a training, from the values of its options by name.

    Raises:
        ArgumentError: If no training can have these settings.
    """
    for shared in BOTH_SIDES:
        of_both = values.pop(shared)
        for side in ("source", "target"):
            name = f"{side}_{shared}"
            values[name] = of_both if values[name] is None else values[name]
    try:
        return TrainingSettings(**values)
    except ValueError as error:
        raise ArgumentError(as_options(str(error))) from error


def _parameter(setting: Setting) -> inspect.Parameter:
    kind = Path if setting.is_path else setting.type
    # A flag that is off by default can only be switched on, so it has no --no-NAME.
    names = [setting.option] if setting.type is bool and not setting.default else []
    option = typer.Option(
        *names,
        help=_help(setting),
        metavar=setting.metavar,
        rich_help_panel=setting.panel,
        exists=setting.is_file,
        dir_okay=not setting.is_file,
    )
    required = setting.default is dataclasses.MISSING
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else setting.default,
        annotation=Annotated[kind | None if setting.optional else kind, option],
    )


def _help(setting: Setting) -> str:
    """Returns the help of an option, with its explanation, its choices and its default."""
    sentences = [setting.help]
    if setting.choices:
        sentences.append(f"One of {', '.join(setting.choices)}.")
    if setting.none and setting.default is None:
        sentences.append(f"Default: {setting.none}.")
    return as_options(" ".join(sentences))
