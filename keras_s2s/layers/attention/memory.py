"""The records that attention reads: an encoded source, and the memory that is made from it."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from keras_s2s.system.checks import check_mask

Shape = tuple[int | None, ...]


class Encoded(NamedTuple):
    """An encoded source as the encoder returns it, before a mechanism adds its keys.

    Attributes:
        values: `(B, S, M)` float, one encoder state per source position.
        mask: `(B, S)` bool, True where the source has a real token.
    """

    values: Any
    mask: Any


class Memory(NamedTuple):
    """An encoded source together with the keys that a mechanism compares queries with.

    Attributes:
        keys: `(B, S, A)` float, computed once per source. A mechanism may have a tuple of such
            tensors.
        values: `(B, S, M)` float, one encoder state per source position.
        mask: `(B, S)` bool, True where the source has a real token.
    """

    keys: Any
    values: Any
    mask: Any


def values_shape(memory_shape: Any) -> tuple[Any, ...]:
    """Returns the shape `(B, S, M)` of the values in a memory.

    Args:
        memory_shape: the shape of the values itself, or the shapes of an `Encoded` or a `Memory`.

    Raises:
        ValueError: If the width `M` is unknown.
    """
    if isinstance(memory_shape[0], (tuple, list)):
        memory_shape = memory_shape[-2]
    if memory_shape[-1] is None:
        raise ValueError(
            "The last axis of the memory's values must be known when weights are made; got shape "
            f"{tuple(memory_shape)}. Give the inputs a fixed width."
        )
    return tuple(memory_shape)


def check_memory(values: Any, mask: Any) -> None:
    """Checks that values and mask belong to one encoded source.

    Raises:
        ValueError: If the values are not `(B, S, M)`, or the mask is not `(B, S)` of the same
            source.
        TypeError: If the mask is not bool. Numbers could mean either "kept" or "padding".
    """
    if len(values.shape) != 3:
        raise ValueError(
            "The memory's `values` must have the shape (batch, source length, width); got "
            f"{tuple(values.shape)}."
        )
    check_mask(mask, values)


def check_query(query: Any, values: Any) -> None:
    """Checks that queries `(B, T, U)` have the batch size of values `(B, S, M)`.

    Raises:
        ValueError: If the queries have another rank, or another number of rows than the values.
    """
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
    """Returns the dtype of scores, weights and positions.

    It is float32 under every dtype policy but float64, under which it is float64.
    """
    return "float64" if layer.compute_dtype == "float64" else "float32"


def positions(mask: Any, dtype: str) -> Any:
    """Returns the number of the real token at each position, counted from 0.

    A mask `(B, 1, S)` gives `(B, 1, S)` in `dtype`.
    """
    return ops.cumsum(ops.cast(mask, dtype), axis=-1) - 1.0


def first_real(mask: Any, dtype: str) -> Any:
    """Returns one at the first real token and zero elsewhere: `(B, S)` for a mask `(B, S)`."""
    count = ops.cumsum(ops.cast(mask, dtype), axis=-1)
    return ops.cast(ops.logical_and(mask, ops.equal(count, 1.0)), dtype)
