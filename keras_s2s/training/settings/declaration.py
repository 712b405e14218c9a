"""Declares a setting once, on its field of a dataclass, and reads the declarations.

`setting` takes the place of `dataclasses.field`. It keeps facts that the annotation of the field
cannot express, such as the range, the help and the heading under which the help lists the setting.
`declared` joins these facts with the annotation. The checks of the record, the reader of recipes,
the command line and the documentation all ask `declared`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from inspect import getdoc
from textwrap import fill
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The declaration of one setting, read from its field.

    Attributes:
        name: name of the field.
        type: annotation of the field, without None: `bool`, `int`, `float`, a Literal of strings,
            or a union of `str` with `os.PathLike`.
        optional: whether the setting may be None.
        default: default value; `dataclasses.MISSING` if the setting must be given.
        help: sentence that explains the setting to somebody who has read nothing else. It writes
            the names of other settings in backticks.
        panel: heading under which the setting is listed.
        metavar: placeholder for a value in the help of the command line.
        none: words for the meaning of None, to be read after "Default:".
        least: lowest number, or None.
        above: number that a value must exceed, or None.
        most: highest number, or None.
        below: number that a value must stay under, or None.
        written: whether the setting is a path to write to. Other paths name files to read.
        makes_vocabulary: whether two trainings with different values have different vocabularies.
        may_change: whether a resumed training may have another value than at its beginning.
    """

    name: str
    type: Any
    optional: bool
    default: Any
    help: str
    panel: str
    metavar: str | None = None
    none: str | None = None
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    written: bool = False
    makes_vocabulary: bool = False
    may_change: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """The strings among which a value is chosen; empty unless the type is a Literal."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def is_path(self) -> bool:
        """Whether a value is a path."""
        return str in get_args(self.type)

    @property
    def is_file(self) -> bool:
        """Whether a value is the path of a file to read."""
        return self.is_path and not self.written

    @property
    def option(self) -> str:
        """Name of the option on the command line, such as `--learning-rate`."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def range(self) -> str:
        """The allowed numbers in words, such as "at least 0 and below 1"."""
        limits = {
            "at least": self.least,
            "above": self.above,
            "at most": self.most,
            "below": self.below,
        }
        words = [f"{word} {_limit_in_words(n)}" for word, n in limits.items() if n is not None]
        if self.type is float and self.most is None and self.below is None:
            words.append("finite")
        return " and ".join(words)

    def checked(self, value: object) -> Any:
        """Checks a value and returns it. A path becomes a string.

        Args:
            value: any object.

        Raises:
            TypeError: If the value has another type than the setting.
            ValueError: If the value is not one of the choices, or if it is out of range.
        """
        if value is None and self.optional:
            return None
        if self.choices:
            if value not in self.choices:
                choices = ", ".join(self.choices)
                raise ValueError(f"`{self.name}` must be one of {choices}; got {value!r}.")
            return value
        if self.is_path:
            if not isinstance(value, str | os.PathLike):
                raise TypeError(f"`{self.name}` must be a path; got {type(value).__name__}.")
            return os.fspath(value)
        if self.type is bool:
            if not isinstance(value, bool):
                raise TypeError(f"`{self.name}` must be True or False; got {value!r}.")
            return value
        return self._checked_number(value)

    def _checked_number(self, value: Any) -> int | float:
        whole = self.type is int
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            kind = "a whole number" if whole else "a number"
            raise TypeError(f"`{self.name}` must be {kind}; got {value!r}.")
        within = (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )
        # This refuses infinity, but not a whole number above all floats. NaN is within no limit.
        if not within or not (whole or abs(value) <= sys.float_info.max):
            raise ValueError(f"`{self.name}` must be {self.range}; got {value}.")
        return value


def setting(default: Any = MISSING, *, help: str, panel: str, **more: Any) -> Any:
    """Makes the field of a dataclass that declares a setting.

    The type of the setting is the annotation of the field. A setting without a default must be
    given.

    Args:
        default: default value.
        help: sentence that explains the setting to somebody who has read nothing else.
        panel: heading under which the setting is listed.
        **more: other attributes of `Setting`, such as the limits of a number.

    Example:
    >>> @dataclass
    ... class Cake:
    ...     eggs: int = setting(3, least=1, help="Number of eggs.", panel="Dough")
    >>> declared(Cake)["eggs"].range
    'at least 1'
    """
    return field(default=default, metadata={"help": help, "panel": panel, **more})


def declared(settings: type) -> dict[str, Setting]:
    """Returns the settings that a dataclass declares, by name, in the order of its fields."""
    return _declared(settings)


# The cache is apart from `declared`, because mypy refuses an instance's class as its argument.
@cache
def _declared(settings: type) -> dict[str, Setting]:
    types = get_type_hints(settings)
    return {
        field.name: Setting(
            name=field.name,
            type=_without_none(types[field.name]),
            optional=NoneType in get_args(types[field.name]),
            default=field.default,
            **field.metadata,
        )
        for field in fields(settings)
    }


def documented(settings: type[T]) -> type[T]:
    """Appends the help of every setting to the docstring of a class, as its decorator."""
    sentences = (f"{setting.name}: {setting.help}" for setting in declared(settings).values())
    wrapped = (
        fill(sentence, 96, initial_indent=" " * 4, subsequent_indent=" " * 8)
        for sentence in sentences
    )
    settings.__doc__ = "\n".join([getdoc(settings) or "", "", "Attributes:", *wrapped])
    return settings


def _without_none(annotation: Any) -> Any:
    """Returns the type of an annotation `type | None`, and any other annotation as it is."""
    members = [member for member in get_args(annotation) if member is not NoneType]
    if NoneType not in get_args(annotation):
        return annotation
    union = members[0]
    for member in members[1:]:
        union = union | member
    return union


def _limit_in_words(number: float) -> str:
    """Writes a limit as a person would, such as 2³² instead of 4294967296."""
    return "2³²" if number == 2**32 else str(number)
