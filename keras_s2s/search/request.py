"""The arguments of one call of a search: special ids, lengths, constraints of each sentence.

A length that depends on the source is a linear function `a·S + b` of the source length `S`, called
a line here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

# The pair (a, b) of a length a·S + b.
Line = tuple[float, float]


class Request(NamedTuple):
    """The arguments of one call: `B` sentences with `W` hypotheses each make `R = B·W` rows.

    Attributes:
        batch_size: `B`.
        width: `W`.
        source_mask: `(B, S)` bool, or None.
        source_lengths: `(B, 1)` int32, numbers of real source tokens, or None.
        shortest: `(B, 1)` int32, least number of tokens of a hypothesis, or None if every length is
            allowed.
        longest: `(B, 1)` int32, greatest number of tokens of a hypothesis.
        prefix: `(B, P)` int32, tokens that a hypothesis begins with, −1 behind them, or None.
        forbidden: `(B, F, M)` int32, phrases that may not appear, −1 behind each, or None.
        required: `(B, C, M)` int32, phrases that must appear, −1 behind each, or None.
        noise: `(B, W, L)` float32, uniform random numbers, or None.
        start_id: the token that the first step reads.
        end_id: the token that ends a hypothesis.
        pad_id: the id that follows the end.
        unknown_id: the token that stands for unknown words.
    """

    batch_size: Any
    width: int
    source_mask: Any
    noise: Any
    start_id: int
    end_id: int
    pad_id: int
    unknown_id: int
    prefix: Any
    forbidden: Any
    required: Any
    source_lengths: Any = None
    shortest: Any = None
    longest: Any = None

    @property
    def rows(self) -> Any:
        """The number of hypotheses in the batch, `R`."""
        return self.batch_size * self.width

    def by_row(self, x: Any) -> Any:
        """Repeats `(B, …)` to `(R, …)`, where the hypotheses of a sentence are neighbours."""
        return x if self.width == 1 else ops.repeat(x, self.width, axis=0)

    def by_sentence(self, x: Any) -> Any:
        """Reshapes `(R, …)` to `(B, W, …)`."""
        return ops.reshape(x, (self.batch_size, self.width, *ops.shape(x)[1:]))


def source_lengths(mask: Any) -> Any:
    """Counts the real source tokens of a mask `(B, S)` bool: `(B, 1)` int32."""
    return ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)


def line_of(name: str, value: Any) -> Line:
    """Reads a length that is given as `b` or as `(a, b)`.

    Raises:
        ValueError: If the value is neither, or if `a` is negative.
    """
    pair = value if isinstance(value, (tuple, list)) else (0, value)
    numbers = len(pair) == 2 and all(
        isinstance(x, (int, float, np.number)) and not isinstance(x, bool) and np.isfinite(x)
        for x in pair
    )
    if not numbers or pair[0] < 0:
        raise ValueError(
            f"`{name}` must be a number b, or (a, b) for a·S + b tokens with a ≥ 0; got "
            f"{name}={value!r}."
        )
    return float(pair[0]), float(pair[1])


def length_on(line: Line, lengths: Any, batch_size: Any) -> Any:
    """Computes `⌊a·S + b⌋` for source lengths `(B, 1)` int32: `(B, 1)` int32."""
    factor, extra = line
    if factor == 0:
        return ops.full((batch_size, 1), int(np.floor(extra)), dtype="int32")
    return ops.cast(ops.floor(factor * ops.cast(lengths, "float32") + extra), "int32")


def checked_lines(
    min_length: int | Line, length_limit: Line | None, max_length: int
) -> tuple[Line, Line | None]:
    """Reads the settings `min_length` and `length_limit` of a search.

    Raises:
        ValueError: If one of them is not a length, or if `min_length` is above `max_length` or
            above `length_limit` for every source.
    """
    least = line_of("min_length", min_length)
    if least[0] == 0 and least[1] > max_length:
        raise ValueError(
            f"`min_length` must be at most `max_length`; got min_length={min_length!r}, "
            f"max_length={max_length}."
        )
    most = None if length_limit is None else line_of("length_limit", length_limit)
    # Here the lines do not cross from S = 1 on. If lines cross later, the limit has precedence.
    if most is not None and least[0] >= most[0] and sum(least) >= sum(most) + 1:
        raise ValueError(
            "`min_length` must not be above `length_limit` for every source; got "
            f"min_length={min_length!r}, length_limit={length_limit!r}."
        )
    return least, most


def length_bounds(
    least: Line,
    most: Line | None,
    max_length: int,
    lengths: Any,
    batch_size: Any,
    prefix_sizes: Any = None,
) -> tuple[Any, Any]:
    """Computes the least and the greatest length of each sentence's outputs.

    Args:
        least: the least length as a line of the source length.
        most: the greatest length as a line of the source length, or None.
        max_length: the greatest length of any output.
        lengths: `(B, 1)` int32 source lengths; None if no line depends on them.
        batch_size: `B`.
        prefix_sizes: `(B, 1)` int32, numbers of prefix tokens, or None. A prefix and the end token
            always fit within the greatest length, unless `max_length` forbids it.

    Returns:
        Two tensors `(B, 1)` int32. The least length is None if every length is allowed.
    """
    longest = ops.full((batch_size, 1), max_length, dtype="int32")
    if most is not None:
        longest = ops.clip(length_on(most, lengths, batch_size), 1, longest)
    if prefix_sizes is not None:
        longest = ops.clip(prefix_sizes + 1, longest, max_length)
    if least == (0.0, 0.0):
        return None, longest
    return ops.minimum(length_on(least, lengths, batch_size), longest), longest
