"""The kinds of search by name, and the settings that each kind takes.

A subclass of `Search` with a name registers itself here when Python creates the class, so that
`Search.like` finds it by its settings. This module imports no search, not even their base class.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

SEARCHES: dict[str, type[Any]] = {}


def settings_of(kind: type[Any]) -> list[str]:
    """Returns the names of the arguments of a kind of search.

    If `__init__` hands keyword arguments on to its base class, the arguments of the base class
    count too.

    Example:
    >>> settings_of(GreedySearch)[:3]
    ['max_length', 'min_length', 'length_limit']
    """
    names: list[str] = []
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        named = (x.name for x in parameters if x.kind not in (x.VAR_POSITIONAL, x.VAR_KEYWORD))
        names += [name for name in named if name not in names]
        if not any(x.kind is x.VAR_KEYWORD for x in parameters):
            break  # nothing is handed on to the base class
    return names


def kind_with(settings: Iterable[str], first: type[Any]) -> type[Any]:
    """Returns a kind of search that takes all of these settings.

    Args:
        settings: names of settings.
        first: the kind that is returned if it takes them. Otherwise the result is the named kind
            with the fewest settings, and of several such kinds the one that was registered first.

    Raises:
        ValueError: If no kind takes all of them.
    """
    names = set(settings)
    by_size = sorted(SEARCHES.values(), key=lambda kind: len(settings_of(kind)))
    for kind in (first, *by_size):
        if names <= set(settings_of(kind)):
            return kind
    raise ValueError(
        f"No search has all of {', '.join(sorted(names))}. The settings are: "
        + "; ".join(f"{kind.__name__} {', '.join(settings_of(kind))}" for kind in by_size)
        + "."
    )
