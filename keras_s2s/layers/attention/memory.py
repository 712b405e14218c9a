"""What attention looks at: an encoded source, and the same prepared for one mechanism."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from keras_s2s.system.checks import check_mask

Shape = tuple[int | None, ...]


class Encoded(NamedTuple):
    """An encoded source, not yet prepared for a mechanism.

    Attributes:
        values: `(B, S, M)` float, one encoder state per source position.
        mask: `(B, S)` bool, True where the source has a real token.
    """

    values: Any
    mask: Any


class Memory(NamedTuple):
    """An encoded source with what a mechanism compares queries with.

    Attributes:
        keys: `(B, S, A)` float, computed once per source; a tuple of such tensors where a mechanism
            needs more than one.
        values: `(B, S, M)` float.
        mask: `(B, S)` bool, True where the source has a real token.
    """

    keys: Any
    values: Any
    mask: Any


def values_shape(memory_shape: Any) -> tuple[Any, ...]:
    """The shape of the values, out of itself or the shapes of an `Encoded` or a `Memory`."""
    if isinstance(memory_shape[0], (tuple, list)):
        memory_shape = memory_shape[-2]
    if memory_shape[-1] is None:
        raise ValueError(
            f"The last axis of the memory's values must be known; got shape {tuple(memory_shape)}."
        )
    return tuple(memory_shape)


def check_memory(values: Any, mask: Any) -> None:
    """Raises for values and a mask that do not belong together.

    Raises:
        ValueError: values are not `(B, S, M)`, or the mask is not `(B, S)` of the same source.
        TypeError: the mask is not bool. Numbers could mean either "kept" or "padding".
    """
    if len(values.shape) != 3:
        raise ValueError(
            "The memory's `values` must have the shape (batch, source length, width); got "
            f"{tuple(values.shape)}."
        )
    check_mask(mask, values)


def check_query(query: Any, values: Any) -> None:
    """Raises ValueError unless queries are `(B, T, U)` of the batch of values `(B, S, M)`."""
    if len(query.shape) != 3:
        raise ValueError(
            "`query` must have the shape (batch, target length, width); got "
            f"{tuple(query.shape)}. One step is `attention.step(query, memory, state)`."
        )
    rows, sources = query.shape[0], values.shape[0]
    if rows is not None and sources is not None and rows != sources:
        raise ValueError(
            "`query` must have one row per source of the memory; got "
            f"query of {tuple(query.shape)} and values of {tuple(values.shape)}."
        )


def weights_dtype(layer: Any) -> str:
    """Of scores, weights and positions: float32 whatever the policy, float64 under float64."""
    return "float64" if layer.compute_dtype == "float64" else "float32"


def positions(mask: Any, dtype: str) -> Any:
    """Which real token, counted from 0, each position holds: `(B, 1, S)` of a mask `(B, 1, S)`."""
    return ops.cumsum(ops.cast(mask, dtype), axis=-1) - 1.0


def first_real(mask: Any, dtype: str) -> Any:
    """One at the first real token, zero elsewhere: `(B, S)` of a mask `(B, S)`."""
    count = ops.cumsum(ops.cast(mask, dtype), axis=-1)
    return ops.cast(ops.logical_and(mask, ops.equal(count, 1.0)), dtype)
