"""The options of a search, and the search that is made from them.

Only this module knows both the options of the command line and the settings of searches.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_s2s.cli.options import ArgumentError
from keras_s2s.cli.signature import signed, written_parameters

if TYPE_CHECKING:
    from keras_s2s.search import LengthPenalty, Search


# The options of a search, by the names of its settings.
_search = partial(typer.Option, rich_help_panel="Search (by default as saved with the model)")
SEARCH: dict[str, Any] = {
    "beam": Annotated[
        int | None, _search(min=1, help="Width of the beam search. 1 is greedy search.")
    ],
    "length_penalty": Annotated[
        str | None,
        _search(
            metavar="PENALTY",
            help="Length penalty of the beam search. A number is the weight of GNMT's penalty. A "
            "name is none, gnmt, tfa, opennmt_tf, joeynmt, google_seq2seq, sockeye or marian, and "
            "may have arguments, as in 'marian(normalize=0.7)'.",
        ),
    ],
    "coverage_penalty": Annotated[
        float | None,
        _search(
            min=0,
            help="Weight of GNMT's coverage penalty, which prefers outputs that attend to the "
            "whole source.",
        ),
    ],
    "stop": Annotated[
        str | None,
        _search(
            metavar="WHEN",
            help="Condition on which the beam search stops. exact waits until no better output can "
            "come, and first stops as soon as one output is complete.",
        ),
    ],
    "groups": Annotated[
        int | None, _search(min=1, help="Number of groups of a diverse beam search.")
    ],
    "diversity": Annotated[
        float | None,
        _search(
            min=0,
            help="Strength with which the groups of a diverse beam search avoid each other's "
            "tokens.",
        ),
    ],
    "samples": Annotated[
        int | None, _search(min=1, help="Number of outputs that are drawn at random for each text.")
    ],
    "temperature": Annotated[
        float | None,
        _search(
            help="Temperature of random drawing. A value below 1 prefers probable tokens, and a "
            "value above 1 makes tokens more equally probable."
        ),
    ],
    "top_k": Annotated[
        int | None, _search(min=1, help="Draw only from this number of most probable tokens.")
    ],
    "top_p": Annotated[
        float | None,
        _search(
            help="Draw only from the most probable tokens that together have this share of the "
            "probability."
        ),
    ],
    "epsilon": Annotated[
        float | None, _search(help="Draw only from tokens of at least this probability.")
    ],
    "seed": Annotated[
        int | None,
        _search(min=0, help="Seed of random drawing, which gives the same outputs every time."),
    ],
    "max_length": Annotated[int | None, _search(min=1, help="Largest number of ids in an output.")],
    "min_length": Annotated[
        str | None,
        _search(
            metavar="B|A,B",
            help="Smallest number of ids in an output, as B, or as A,B for A·S + B with a source "
            "of S ids.",
        ),
    ],
    "length_limit": Annotated[
        str | None,
        _search(
            metavar="A,B",
            help="Largest number of ids in an output, as A,B for A·S + B with a source of S ids.",
        ),
    ],
    "allow_unknown": Annotated[
        bool | None,
        _search("--allow-unknown/--no-unknown", help="Allow or forbid unknown words in outputs."),
    ],
    "repetition_penalty": Annotated[
        float | None,
        _search(
            min=1,
            help="Factor that makes tokens less probable if the output has them already. 1 changes "
            "nothing.",
        ),
    ],
    "no_repeat_ngram": Annotated[
        int | None,
        _search(
            min=0,
            help="Length of token sequences that may occur only once in an output. 0 allows "
            "repetition.",
        ),
    ],
}


def with_search(command: Callable[..., None]) -> Callable[..., None]:
    """Decorates a command that takes `search` with the options of a search.

    The command gets all of them as one dict `search`, with the value of each option, or None, by
    its name in `SEARCH`. Its other parameters are options as usual, and are listed first.
    """
    others = written_parameters(command)
    del others["search"]

    def wrapped(**values: Any) -> None:
        search = {name: values.pop(name) for name in SEARCH}
        command(**values, search=search)

    of_search = (
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in SEARCH.items()
    )
    return signed(wrapped, command, [*others.values(), *of_search])


def check_search(options: dict[str, Any], n_best: int | None = None) -> None:
    """Checks the options of a search as far as this needs neither a model nor Keras.

    Args:
        options: values of the options by name.
        n_best: number of outputs for each text, or None.

    Raises:
        ArgumentError: If an option has a value that no search takes.
    """
    beam, penalty = options["beam"], options["length_penalty"]
    if beam is not None and n_best is not None and n_best > beam:
        raise ArgumentError(f"--n-best can be at most --beam; got {n_best} and {beam}.")
    for name in ("min_length", "length_limit"):
        if options[name] is not None:
            _line(name, options[name])
    if penalty is not None and not re.match(r"\d|\.|[a-z]", penalty):
        raise ArgumentError(
            "--length-penalty must be a number from 0 on, or the name of a penalty; got "
            f"{penalty!r}."
        )


def search_for(
    saved: Search,
    options: dict[str, Any],
    n_best: int | None = None,
    *,
    all_hypotheses: bool = False,
) -> Search:
    """Makes the search that the options ask for.

    Args:
        saved: search that was saved with the translator.
        options: values of the options of `SEARCH` by name; None leaves a setting as saved.
        n_best: number of outputs for each text, or None.
        all_hypotheses: whether the search returns all its hypotheses, for a choice among them.

    Raises:
        ArgumentError: If no search has all these options, or if it refuses the value of one.
    """
    changes = {name: value for name, value in options.items() if value is not None}
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
    """Returns a bound of the length, written as `B` or `A,B`, as a search takes it."""
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
    """Returns the length penalty that a text asks for.

    The text is a number, a name, or a name with arguments, such as `marian(normalize=0.7)`.
    """
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
    """Returns a message in which options replace the names of settings that are in backticks."""
    names = {**{name: name for name in SEARCH}, "width": "beam", "n_best": "n_best"}
    return re.sub(
        r"`(\w+)`",
        lambda name: f"--{names[name[1]].replace('_', '-')}" if name[1] in names else name[0],
        message,
    )
