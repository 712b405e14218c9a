"""From the options of the command line to a search: the one place that knows both."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_s2s.cli import options
from keras_s2s.cli.options import ArgumentError
from keras_s2s.cli.signature import own_parameters, signed

if TYPE_CHECKING:
    from keras_s2s.search import LengthPenalty, Search


def with_search(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator: the options of a search, which the command gets as one dict named `search`."""

    def wrapped(**given: Any) -> None:
        search = {name: given.pop(name) for name in options.SEARCH}
        command(**given, search=search)

    own = own_parameters(command)
    del own["search"]
    searched = (
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in options.SEARCH.items()
    )
    return signed(wrapped, command, [*own.values(), *searched])


def check_search(given: dict[str, Any], n_best: int | None = None) -> None:
    """Raises ArgumentError for what can be seen to be wrong without a model and without Keras."""
    beam, penalty = given["beam"], given["length_penalty"]
    if beam is not None and n_best is not None and n_best > beam:
        raise ArgumentError(f"--n-best can be at most --beam; got {n_best} and {beam}.")
    for name in ("min_length", "length_limit"):
        if given[name] is not None:
            _line(name, given[name])
    if penalty is not None and not re.match(r"\d|\.|[a-z]", penalty):
        raise ArgumentError(
            "--length-penalty must be a number from 0 on, or the name of a penalty; got "
            f"{penalty!r}."
        )


def search_for(
    saved: Search,
    given: dict[str, Any],
    n_best: int | None = None,
    *,
    all_hypotheses: bool = False,
) -> Search:
    """The search that the options ask for; what is None stays as saved.

    Args:
        saved: the translator's own.
        given: the options of `options.SEARCH` by name.
        n_best: outputs for each text.
        all_hypotheses: give all that the search has, for a choice among them.

    Raises:
        ArgumentError: options that no search has together, or with values it refuses.
    """
    changes = {name: value for name, value in given.items() if value is not None}
    for option, name in (("beam", "width"), ("samples", "samples")):
        if option in changes:
            changes[name] = changes.pop(option)
    for name in ("min_length", "length_limit"):
        if name in changes:
            changes[name] = _line(name, changes[name])
    try:
        if "length_penalty" in changes:
            changes["length_penalty"] = _penalty(changes["length_penalty"])
        search = saved.like(**changes)
        if all_hypotheses:
            n_best = search.width
        if n_best is not None and n_best > search.n_best:
            search = search.like(n_best=n_best)
    except ValueError as error:
        raise ArgumentError(_as_options(str(error))) from error
    if all_hypotheses and search.n_best < 2:
        raise ArgumentError(
            "--mbr chooses among several outputs; give --beam or --samples of 2 or more."
        )
    return search


def _line(name: str, text: str) -> int | tuple[float, float]:
    """`b` or `a,b` as a search takes it."""
    parts = text.split(",")
    try:
        if len(parts) == 1 and name == "min_length":
            return int(text)
        factor, extra = (float(part) for part in parts)
    except ValueError:
        form = "B or A,B" if name == "min_length" else "A,B"
        option = f"--{name.replace('_', '-')}"
        raise ArgumentError(f"{option} must be {form}, for A·S + B tokens; got {text!r}.") from None
    return factor, extra


def _penalty(text: str) -> LengthPenalty | float:
    """A number, a name, or a name with arguments: `marian(normalize=0.7, word_penalty=0.1)`."""
    from keras_s2s.search import PENALTIES

    try:
        return float(text)
    except ValueError:
        pass
    match = re.fullmatch(r"(\w+)(?:\((.*)\))?", text.strip())
    if match is None or match[1] not in PENALTIES:
        raise ArgumentError(
            f"--length-penalty must be a number, or one of {', '.join(PENALTIES)}, with arguments "
            f"in parentheses or without, such as gnmt(0.6); got {text!r}."
        )
    kind, arguments = PENALTIES[match[1]], match[2] or ""
    try:
        call: Any = ast.parse(f"f({arguments})", mode="eval").body
        values = [ast.literal_eval(argument) for argument in call.args]
        named = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        return kind(*values, **named)
    except (SyntaxError, TypeError, AttributeError) as error:
        takes = ", ".join(inspect.signature(kind).parameters) or "nothing"
        raise ArgumentError(
            f"--length-penalty {match[1]} takes {takes}, as numbers; got {arguments!r}."
        ) from error


def _as_options(message: str) -> str:
    """Names of settings as the names of their options."""
    names = {**{name: name for name in options.SEARCH}, "width": "beam", "n_best": "n_best"}
    return re.sub(
        r"`(\w+)`",
        lambda name: f"--{names[name[1]].replace('_', '-')}" if name[1] in names else name[0],
        message,
    )
