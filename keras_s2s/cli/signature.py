"""How a function of keywords becomes a command: typer reads the options from its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable


def signed(
    function: Callable[..., None],
    command: Callable[..., None],
    parameters: Iterable[inspect.Parameter],
) -> Callable[..., None]:
    """Gives a function the name and the help of a command, and a signature for typer to read.

    Args:
        function: takes keywords; it is changed and returned.
        command: whose name and docstring it gets.
        parameters: an annotated parameter for each option, in the order of the help.
    """
    signature = inspect.Signature(
        [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    )
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    function.__name__, function.__doc__ = command.__name__, command.__doc__
    return function


def own_parameters(command: Callable[..., None]) -> dict[str, inspect.Parameter]:
    """The parameters of a command by name, with annotations that are no longer strings."""
    return dict(inspect.signature(command, eval_str=True).parameters)
