"""Checks arguments, with one error message for each kind of argument.

Keras is imported only by the checks of masks and activations, so that light modules can use the
others.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from numbers import Integral
from typing import Any


def is_size(value: Any) -> bool:
    """Returns whether `value` is a positive integer. True and False are not integers here."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def check_size(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a positive integer."""
    if not is_size(value):
        raise ValueError(f"`{name}` must be a positive integer; got {name}={value!r}.")


def check_optional_size(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a positive integer or None."""
    if value is not None and not is_size(value):
        raise ValueError(f"`{name}` must be a positive integer or None; got {name}={value!r}.")


def check_shares(**shares: Any) -> None:
    """Raises ValueError unless every value is a share, a number from 0 to below 1."""
    for name, value in shares.items():
        if not _is_number(value) or not 0 <= value < 1:
            raise ValueError(f"`{name}` must be at least 0 and below 1; got {name}={value!r}.")


def check_flags(**flags: Any) -> None:
    """Raises TypeError unless every value is True or False."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"`{name}` must be True or False; got {name}={value!r}.")


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raises ValueError unless `value` is one of the choices."""
    # Compares types too, because 1 equals True.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}; got {name}={value!r}."
        )


def check_mask(mask: Any, values: Any) -> None:
    """Checks that `mask` is bool and has the shape `(B, T)` of values `(B, T, …)`.

    Raises:
        ValueError: If the mask has another shape.
        TypeError: If the mask is not bool, since numbers could mean "kept" as well as "padding".
    """
    if len(mask.shape) != 2 or any(
        a is not None and b is not None and a != b
        for a, b in zip(mask.shape, values.shape, strict=False)
    ):
        raise ValueError(
            "`mask` must have the shape (batch, length) of the values "
            f"{tuple(values.shape)}; got {tuple(mask.shape)}."
        )
    import keras

    dtype = keras.backend.standardize_dtype(mask.dtype)
    if dtype != "bool":
        raise TypeError(
            f"`mask` must be bool, True where there is a real token; got {dtype}. Write "
            "`source_ids != pad_id`."
        )


def check_activation(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is the name of a Keras activation."""
    import keras

    try:
        known = isinstance(value, str) and keras.activations.get(value) is not None
    except ValueError:
        known = False
    if not known:
        raise ValueError(
            f"`{name}` must be the name of a Keras activation, such as 'tanh', 'relu' or "
            f"'linear'; got {name}={value!r}."
        )


def check_optional_positive(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a finite number above zero or None."""
    if value is not None and not _is_positive(value):
        raise ValueError(f"`{name}` must be a finite number above 0 or None; got {name}={value!r}.")


def check_positive(name: str, value: Any, most: float = math.inf) -> None:
    """Raises ValueError unless `value` is a finite number above zero and at most `most`."""
    if not _is_positive(value) or value > most:
        expected = (
            "a finite number above 0" if most == math.inf else f"above 0 and at most {most:g}"
        )
        raise ValueError(f"`{name}` must be {expected}; got {name}={value!r}.")


def check_number(
    name: str,
    value: Any,
    least: float = -math.inf,
    *,
    below: float = math.inf,
    most: float = math.inf,
    of: str = "",
) -> float:
    """Checks that a value is a finite number in a range, and returns it as a float.

    Args:
        name: name of the argument in the error.
        value: value of the argument.
        least: lowest number that is allowed.
        below: lowest number that is too high. Give either this or `most`.
        most: highest number that is allowed.
        of: owner of the argument in the error, such as 'length penalty'.

    Raises:
        ValueError: If `value` is not a finite number or is out of the range.
    """
    # An integer of Python may be larger than every float.
    finite = _is_number(value) and abs(value) <= sys.float_info.max
    if finite and least <= value <= most and value < below:
        return float(value)
    if least == -math.inf:
        expected = "a finite number"
    elif below < math.inf:
        expected = f"a number from {least:g} to below {below:g}"
    else:
        expected = f"a number from {least:g} " + ("on" if most == math.inf else f"to {most:g}")
    owner = f"The {of}'s " if of else ""
    raise ValueError(f"{owner}`{name}` must be {expected}; got {name}={value!r}.")


def check_whole(name: str, value: Any, least: int, below: int | None = None) -> int:
    """Checks that a value is a whole number in a range, and returns it as an int.

    Args:
        name: name of the argument in the error.
        value: value of the argument, a whole number of Python or NumPy.
        least: lowest number that is allowed.
        below: lowest number that is too high; None for no upper limit.

    Raises:
        TypeError: If `value` is not a whole number. True and False are not numbers here.
        ValueError: If `value` is out of the range.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"`{name}` must be a whole number; got {value!r}.")
    if int(value) < least or (below is not None and int(value) >= below):
        limit = "" if below is None else f" and below {below}"
        raise ValueError(f"`{name}` must be at least {least}{limit}; got {value}.")
    return int(value)


def check_instance(name: str, value: Any, *kinds: type | None) -> None:
    """Raises TypeError unless `value` is an instance of one of the classes, or None if allowed."""
    if not isinstance(value, tuple(type(None) if kind is None else kind for kind in kinds)):
        expected = " or ".join("None" if kind is None else _with_article(kind) for kind in kinds)
        raise TypeError(f"`{name}` must be {expected}; got {type_in_words(value)}.")


def check_several(name: str, texts: Any) -> None:
    """Raises TypeError if `texts` is one string or bytes instead of a sequence of strings."""
    if isinstance(texts, str | bytes):
        raise TypeError(
            f"`{name}` must be a list of strings; got one {type(texts).__name__}. Pass [text]."
        )


def type_in_words(value: Any) -> str:
    """Returns the words in which an error describes an argument of the wrong type."""
    if isinstance(value, type):
        return f"the class {value.__name__}, not {value.__name__}(...)"
    return type(value).__name__


def _with_article(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


def _is_positive(value: Any) -> bool:
    return _is_number(value) and 0 < value < math.inf


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
