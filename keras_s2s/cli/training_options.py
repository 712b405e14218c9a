"""The options of `train`, made from the settings that they set, and the way back to the settings.

A setting is declared in `training/settings/fields.py` alone; its option follows from there. What
only the command line has stands here: one option that sets both sides at once.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_s2s.cli.options import ArgumentError
from keras_s2s.cli.signature import own_parameters, signed
from keras_s2s.training.settings.declaration import Setting, declared
from keras_s2s.training.settings.settings import TrainingSettings

# An option of such a name sets `source_NAME` and `target_NAME`, unless they are given too.
BOTH_SIDES = {
    "tokenizer": "Kind of both tokenizers.",
    "vocabulary_size": "Number of ids of each vocabulary.",
}


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator: gives a command the options of a training.

    The command gets them as one argument `settings`, a `TrainingSettings`. Its other parameters are
    options as usual, and are listed last.
    """
    own = own_parameters(command)
    del own["settings"]

    def wrapped(**given: Any) -> None:
        others = {name: given.pop(name) for name in own}
        command(settings=_settings(given), **others)

    return signed(wrapped, command, [*parameters(TrainingSettings), *own.values()])


def parameters(settings: type) -> Iterator[inspect.Parameter]:
    """A parameter for each option, annotated for typer.

    Args:
        settings: a dataclass whose fields declare settings.
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
    """A text with the names of settings, which stand in backticks, as the names of their options.

    Args:
        text: a help or an error.
    """
    names = {*declared(TrainingSettings), *BOTH_SIDES}
    return re.sub(
        r"`(\w+)`",
        lambda name: f"--{name[1].replace('_', '-')}" if name[1] in names else name[0],
        text,
    )


def _settings(given: dict[str, Any]) -> TrainingSettings:
    """The settings that options ask for.

    Raises:
        ArgumentError: If no training can have them.
    """
    for shared in BOTH_SIDES:
        value = given.pop(shared)
        for side in ("source", "target"):
            name = f"{side}_{shared}"
            given[name] = value if given[name] is None else given[name]
    try:
        return TrainingSettings(**given)
    except ValueError as error:
        raise ArgumentError(as_options(str(error))) from error


def _parameter(setting: Setting) -> inspect.Parameter:
    kind = Path if setting.is_path else setting.type
    # A flag that is off can only be switched on: it has no --no-NAME.
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
    """The help of an option: what it does, its choices, what happens without it."""
    sentences = [setting.help]
    if setting.choices:
        sentences.append(f"One of {', '.join(setting.choices)}.")
    if setting.none and setting.default is None:
        sentences.append(f"Default: {setting.none}.")
    return as_options(" ".join(sentences))
