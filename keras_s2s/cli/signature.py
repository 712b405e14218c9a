"""Makes functions into commands, whose options typer reads from their signature."""

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
        function: function that takes keywords, which is changed and returned.
        command: command whose name and docstring the function gets.
        parameters: annotated parameter for each option, in the order of the help.
    """
    signature = inspect.Signature(
        [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in parameters]
    )
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    function.__name__, function.__doc__ = command.__name__, command.__doc__
    return function


def written_parameters(command: Callable[..., None]) -> dict[str, inspect.Parameter]:
    """Returns the parameters in a command's definition, with their annotations evaluated."""
    return dict(inspect.signature(command, eval_str=True).parameters)
