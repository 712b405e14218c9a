"""Checks prefixes and phrases of ids before a search, and matches them within it.

A prefix is an array `(B, P)`, and phrases are an array `(B, phrases, tokens)`. Each row has −1
behind its ids.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

# The greatest number of required phrases for which every order is tried, to find the shortest
# output that holds all of them.
MOST_ORDERED = 5


def checked(
    constraints: dict[str, Any],
    batch_size: Any,
    max_length: int,
    end_id: int,
    refused_id: int | None = None,
) -> tuple[dict[str, Any], int]:
    """Checks prefixes and phrases, and returns them as tensors.

    Shapes are always checked. The ids, and whether one output can fulfil all constraints, can only
    be checked if the values are known, as in NumPy arrays and lists.

    Args:
        constraints: `prefix` `(B, P)`, `forbidden` and `required` `(B, phrases, tokens)`, each an
            array, a list, a tensor or None.
        batch_size: `B`.
        max_length: the longest output, the end token counted.
        end_id: the end token, which no phrase may hold.
        refused_id: a token that the search never chooses, so that no required phrase may hold it;
            None if there is no such token.

    Returns:
        The constraints by the same names, each an int32 tensor or None, and the highest id among
        the known values, which is −1 if no value is known.

    Raises:
        ValueError: If a shape or an id is wrong, or if no output can fulfil all constraints.
    """
    arrays: dict[str, np.ndarray] = {}
    tensors: dict[str, Any] = {}
    for name, value in constraints.items():
        tensors[name] = None
        if value is None:
            continue
        shape = tuple(getattr(value, "shape", np.shape(value)))
        rank = 2 if name == "prefix" else 3
        if len(shape) != rank or _sizes_differ(shape[0], batch_size):
            axes = "(B, tokens)" if rank == 2 else "(B, phrases, tokens)"
            raise ValueError(
                f"`{name}` must be ids of shape {axes} with B={batch_size}, and -1 behind those of "
                f"each row; got shape {shape}."
            )
        if 0 in shape[1:]:
            continue
        if isinstance(value, (np.ndarray, list, tuple)):
            arrays[name] = np.asarray(value)
        tensors[name] = ops.cast(value, "int32")
        if name == "prefix" and isinstance(shape[1], int) and shape[1] >= max_length:
            raise ValueError(
                f"`prefix` must leave room for the end token within max_length={max_length}; got "
                f"{shape[1]} tokens. Search with a larger max_length."
            )
    return tensors, check(arrays, max_length, end_id, refused_id)


def check(
    arrays: dict[str, np.ndarray], max_length: int, end_id: int, refused_id: int | None = None
) -> int:
    """Checks the ids of prefixes and phrases, and whether an output can fulfil all of them.

    Args:
        arrays: the constraints of `checked` that are not None, as arrays.
        max_length: the longest output, the end token counted.
        end_id: the end token, which no phrase may hold.
        refused_id: as for `checked`.

    Returns:
        The highest id, or −1 if there is no id.

    Raises:
        ValueError: If an id is wrong, or if no output can fulfil all constraints.
    """
    for name, ids in arrays.items():
        _check_ids(name, ids, end_id)
    if refused_id is not None and "required" in arrays and (arrays["required"] == refused_id).any():
        raise ValueError(
            f"`required` must not hold the unknown id, {refused_id}, in a search with "
            "allow_unknown=False. Leave it out, or allow it."
        )
    _check_compatible(arrays, max_length)
    return max((int(ids.max()) for ids in arrays.values() if ids.size), default=-1)


def _sizes_differ(size: Any, batch_size: Any) -> bool:
    """Returns whether two sizes are known and differ. Sizes in a graph may be unknown tensors."""
    return isinstance(size, int) and isinstance(batch_size, int) and size != batch_size


def _check_ids(name: str, ids: np.ndarray, end_id: int) -> None:
    if ids.dtype.kind not in "iu":
        raise ValueError(
            f"`{name}` must hold integer ids; got {ids.dtype} values. Encode text to ids first."
        )
    gaps = (ids[..., :-1] < 0) & (ids[..., 1:] >= 0)
    if (ids < -1).any() or gaps.any():
        bad = np.argwhere((ids < -1).any(axis=-1) | gaps.any(axis=-1))[0]
        raise ValueError(
            f"`{name}` must hold ids from 0 on, and -1 only behind those of a row; got "
            f"{ids[tuple(bad)].tolist()}."
        )
    if (ids == end_id).any():
        raise ValueError(
            f"`{name}` must not hold the end id, {end_id}: a search ends each hypothesis itself, "
            "and must be able to. Leave it out."
        )


def _check_compatible(arrays: dict[str, np.ndarray], max_length: int) -> None:
    """Checks that an output can fulfil all constraints of each sentence.

    Raises:
        ValueError: If prefix and required phrases do not fit `max_length`, or hold a forbidden
            phrase.
    """
    rows = max((len(ids) for ids in arrays.values()), default=0)

    def phrases_of(name: str, row: int) -> list[list[int]]:
        if name not in arrays:
            return []
        ids = np.atleast_2d(arrays[name][row])
        return [phrase[phrase >= 0].tolist() for phrase in ids if (phrase >= 0).any()]

    for row in range(rows):
        required, prefixes = phrases_of("required", row), phrases_of("prefix", row)
        prefix = prefixes[0] if prefixes else []
        length = _least_length(prefix, required) + 1
        if length > max_length:
            raise ValueError(
                f"Sentence {row}: prefix and required phrases need {length} tokens, the end token "
                f"counted, but max_length={max_length}. Search with a larger max_length, or "
                "require less."
            )
        for forbidden in phrases_of("forbidden", row):
            for name, phrase in [("prefix", prefix), *(("required", ids) for ids in required)]:
                if _contains(phrase, forbidden):
                    raise ValueError(
                        f"Sentence {row}: `{name}` asks for {phrase}, but `forbidden` forbids "
                        f"{forbidden}. Drop one of the two."
                    )


def _least_length(prefix: list[int], required: list[list[int]]) -> int:
    """Returns the length of the shortest sequence with this prefix that holds all phrases.

    Phrases may share tokens. For more than `MOST_ORDERED` phrases, which have too many orders to
    try, the result is only a lower bound.
    """
    distinct = [list(ids) for ids in dict.fromkeys(map(tuple, required))]
    separate = [
        ids
        for ids in distinct
        if not _contains(prefix, ids)
        and not any(_contains(phrase, ids) for phrase in distinct if phrase != ids)
    ]
    if len(separate) > MOST_ORDERED:
        return max(_least_length(prefix, [ids]) for ids in separate)

    def joined_length(order: Sequence[list[int]]) -> int:
        sequence = list(prefix)
        for ids in order:
            shared = next(
                n for n in range(len(ids), -1, -1) if sequence[len(sequence) - n :] == ids[:n]
            )
            sequence += ids[shared:]
        return len(sequence)

    return min(map(joined_length, itertools.permutations(separate)))


def _contains(ids: list[int], phrase: list[int]) -> bool:
    """Returns whether a sequence holds a phrase, token after token."""
    starts = range(len(ids) - len(phrase) + 1)
    return any(ids[start : start + len(phrase)] == phrase for start in starts)


def begun(phrases: Any, said: Any, t: Any) -> Any:
    """Finds the beginnings of phrases with which each hypothesis ends.

    Args:
        phrases: `(R, C, M)` int32, −1 behind the tokens of each phrase.
        said: `(R, L)` int32, the tokens so far.
        t: the number of these tokens, an int32 scalar.

    Returns:
        `(R, C, M)` bool, True at `p` if the last `p` tokens of the hypothesis are the first `p` of
        the phrase. It is always True at 0.
    """
    count = ops.shape(phrases)[-1]
    last = last_said(said, t, count)  # (R, M)
    at = ops.arange(count, dtype="int32")
    # Row p compares token i of a phrase, for i < p, with the token p − i before the next.
    inside = at[:, None] > at[None]
    places = ops.where(inside, count - at[:, None] + at[None], 0)  # (M, M)
    same = ops.equal(phrases[:, :, None], ops.take(last, places, axis=1)[:, None])  # (R, C, M, M)
    return ops.all(ops.logical_or(same, ops.logical_not(inside)[None, None]), axis=-1)


def last_said(said: Any, t: Any, count: Any) -> Any:
    """Returns the last `count` of the first `t` tokens, `(R, count)` int32, or −1 before them."""
    places = t - count + ops.arange(count, dtype="int32")
    tokens = ops.take(said, ops.maximum(places, 0), axis=1)
    return ops.where(places[None] >= 0, tokens, -1)


def sizes(phrases: Any) -> Any:
    """Counts the tokens of phrases, `(…, M)` to `(…)` int32. An empty phrase has the size 0."""
    return ops.sum(ops.cast(phrases >= 0, "int32"), axis=-1)
