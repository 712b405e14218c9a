"""What one call asks of a search: special ids, lengths, and the controls of each sentence."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

# A length as a·S + b: the factor of the source length, and what is added.
Line = tuple[float, float]


class Request(NamedTuple):
    """One call of a search over `B` sentences with `W` hypotheses each, `R = B·W` rows.

    Attributes:
        batch_size: `B`.
        width: `W`.
        source_mask: `(B, S)` bool, or None.
        source_lengths: `(B, 1)` int32, real source tokens, or None.
        shortest: `(B, 1)` int32, tokens before which a hypothesis may not have ended, or None
            where every length is allowed.
        longest: `(B, 1)` int32, tokens by which it must have.
        prefix: `(B, P)` int32, tokens to begin with, −1 behind them, or None.
        forbidden: `(B, F, M)` int32, phrases that may not appear, −1 behind each, or None.
        required: `(B, C, M)` int32, phrases that must appear, −1 behind each, or None.
        noise: `(B, W, L)` float32, uniform draws, or None.
        start_id: the token the first step reads.
        end_id: the token that ends a hypothesis.
        pad_id: what follows the end.
        unknown_id: the token that stands for unknown words.
    """

    batch_size: Any
    width: int
    source_mask: Any
    source_lengths: Any
    shortest: Any
    longest: Any
    prefix: Any
    forbidden: Any
    required: Any
    noise: Any
    start_id: int
    end_id: int
    pad_id: int
    unknown_id: int

    @property
    def rows(self) -> Any:
        return self.batch_size * self.width

    def by_row(self, x: Any) -> Any:
        """`(B, …)` to `(R, …)`: the hypotheses of a sentence stand in a row."""
        return x if self.width == 1 else ops.repeat(x, self.width, axis=0)

    def by_sentence(self, x: Any) -> Any:
        """`(R, …)` to `(B, W, …)`."""
        return ops.reshape(x, (self.batch_size, self.width, *ops.shape(x)[1:]))


def source_lengths(mask: Any) -> Any:
    """`(B, S)` bool to `(B, 1)` int32."""
    return ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)


def line_of(name: str, value: Any) -> Line:
    """A length given as `b` or `(a, b)`, checked."""
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
    """`⌊a·S + b⌋`, `(B, 1)` int32."""
    factor, extra = line
    if factor == 0:
        return ops.full((batch_size, 1), int(np.floor(extra)), dtype="int32")
    return ops.cast(ops.floor(factor * ops.cast(lengths, "float32") + extra), "int32")
