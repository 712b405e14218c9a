"""What arguments of layers and searches must be: one check, and one sentence, for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


def is_size(value: Any) -> bool:
    """Whether `value` is a positive integer; True and False are not."""
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
    """Raises ValueError unless every value is a share that can be dropped."""
    for name, value in shares.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 <= value < 1:
            raise ValueError(f"`{name}` must be at least 0 and below 1; got {name}={value!r}.")


def check_flags(**flags: Any) -> None:
    """Raises TypeError unless every value is True or False."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"`{name}` must be True or False; got {name}={value!r}.")


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raises ValueError unless `value` is one of the choices."""
    # By type as well: 1 equals True, and is neither True nor False.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}; got {name}={value!r}."
        )


def check_mask(mask: Any, values: Any) -> None:
    """Raises unless `mask` is bool, `(B, T)` of values `(B, T, …)`.

    Raises:
        ValueError: it has another shape.
        TypeError: it is not bool. Numbers could mean either "kept" or "padding".
    """
    if len(mask.shape) != 2 or any(
        a is not None and b is not None and a != b
        for a, b in zip(mask.shape, values.shape, strict=False)
    ):
        raise ValueError(
            "`mask` must have the shape (batch, length) of the values "
            f"{tuple(values.shape)}; got {tuple(mask.shape)}."
        )
    dtype = keras.backend.standardize_dtype(mask.dtype)
    if dtype != "bool":
        raise TypeError(
            f"`mask` must be bool, True where there is a real token; got {dtype}. Write "
            "`source_ids != pad_id`."
        )


def check_activation(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is the name of a Keras activation."""
    try:
        known = isinstance(value, str) and keras.activations.get(value) is not None
    except ValueError:
        known = False
    if not known:
        raise ValueError(
            f"`{name}` must be the name of a Keras activation, such as 'tanh', 'relu' or "
            f"'linear'; got {name}={value!r}."
        )


def check_positive(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a finite number above zero."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < float("inf"):
        raise ValueError(f"`{name}` must be a finite number above 0; got {name}={value!r}.")


def check_number(name: str, value: Any, least: float) -> None:
    """A number, finite, from `least` on."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not least <= value < float("inf"):
        raise ValueError(f"`{name}` must be a number from {least} on; got {name}={value!r}.")
