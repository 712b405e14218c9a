"""Prefixes and phrases of a call: checked before the search, matched within it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

# Required phrases of which every order is tried, to find out whether they can fit.
MOST_ORDERED = 5


def checked(
    given: dict[str, Any],
    batch_size: Any,
    max_length: int,
    end_id: int,
    refused_id: int | None = None,
) -> tuple[dict[str, Any], int]:
    """Prefixes and phrases as int32 tensors, and the highest id known among them.

    Shapes are checked always; ids, and whether all can hold at once, where the values are known:
    NumPy arrays and lists.

    Args:
        given: `prefix` `(B, P)`, `forbidden` and `required` `(B, phrases, tokens)`, or None.
        batch_size: `B`.
        max_length: longest output, the end token counted.
        end_id: the end token, which no phrase may hold.
        refused_id: a token that the search never chooses, so that no phrase can be required of it.

    Returns:
        The same names, each a tensor or None; and the highest id known, −1 where none is.

    Raises:
        ValueError: a wrong shape, ids that cannot be, or demands that exclude each other.
    """
    known: dict[str, np.ndarray] = {}
    tensors: dict[str, Any] = {}
    for name, value in given.items():
        tensors[name] = None
        if value is None:
            continue
        shape = tuple(getattr(value, "shape", np.shape(value)))
        rank = 2 if name == "prefix" else 3
        if len(shape) != rank or _differ(shape[0], batch_size):
            axes = "(B, tokens)" if rank == 2 else "(B, phrases, tokens)"
            raise ValueError(
                f"`{name}` must be ids of shape {axes} with B={batch_size}, and -1 behind those of "
                f"each row; got shape {shape}."
            )
        if 0 in shape[1:]:
            continue
        if isinstance(value, (np.ndarray, list, tuple)):
            known[name] = np.asarray(value)
        tensors[name] = ops.cast(value, "int32")
        if name == "prefix" and isinstance(shape[1], int) and shape[1] >= max_length:
            raise ValueError(
                f"`prefix` must leave room for the end token within max_length={max_length}; got "
                f"{shape[1]} tokens. Search with a larger max_length."
            )
    return tensors, check(known, max_length, end_id, refused_id)


def check(
    known: dict[str, np.ndarray], max_length: int, end_id: int, refused_id: int | None = None
) -> int:
    """Checks the ids of prefixes and phrases, and whether an output can fulfil all of them.

    Args:
        known: as `checked` takes them, but arrays all.
        max_length: longest output, the end token counted.
        end_id: the end token, which no phrase may hold.
        refused_id: as `checked` takes it.

    Returns:
        The highest id, −1 where there is none.

    Raises:
        ValueError: If ids cannot be, or if no output can fulfil the demands.
    """
    for name, ids in known.items():
        _check_ids(name, ids, end_id)
    if refused_id is not None and "required" in known and (known["required"] == refused_id).any():
        raise ValueError(
            f"`required` must not hold the unknown id, {refused_id}, in a search with "
            "allow_unknown=False. Leave it out, or allow it."
        )
    _check_together(known, max_length)
    return max((int(ids.max()) for ids in known.values() if ids.size), default=-1)


def _differ(size: Any, batch_size: Any) -> bool:
    return isinstance(size, int) and isinstance(batch_size, int) and size != batch_size


def _check_ids(name: str, ids: np.ndarray, end_id: int) -> None:
    if ids.dtype.kind not in "iu":
        raise ValueError(f"`{name}` must hold integer ids; got {ids.dtype} values.")
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


def _check_together(known: dict[str, np.ndarray], max_length: int) -> None:
    """Refuses what no output can fulfil."""
    rows = max((len(ids) for ids in known.values()), default=0)

    def of(name: str, row: int) -> list[list[int]]:
        if name not in known:
            return []
        ids = np.atleast_2d(known[name][row])
        return [phrase[phrase >= 0].tolist() for phrase in ids if (phrase >= 0).any()]

    for row in range(rows):
        required, prefixes = of("required", row), of("prefix", row)
        begun = prefixes[0] if prefixes else []
        needed = _least_length(begun, required) + 1
        if needed > max_length:
            raise ValueError(
                f"Sentence {row}: prefix and required phrases need {needed} tokens, the end token "
                f"counted, but max_length={max_length}. Search with a larger max_length, or "
                "require less."
            )
        for banned in of("forbidden", row):
            for name, wanted in [("prefix", begun), *(("required", x) for x in required)]:
                if _holds(wanted, banned):
                    raise ValueError(
                        f"Sentence {row}: `{name}` asks for {wanted}, of which `forbidden` forbids "
                        f"{banned}. Drop one of the two."
                    )


def _least_length(begun: list[int], required: list[list[int]]) -> int:
    """Tokens of the shortest sequence that begins with `begun` and holds all phrases.

    Phrases may share tokens. Of more than five, whose orders are many, a lower bound.
    """
    distinct = [list(ids) for ids in dict.fromkeys(map(tuple, required))]
    phrases = [
        ids
        for ids in distinct
        if not _holds(begun, ids) and not any(_holds(x, ids) for x in distinct if x != ids)
    ]
    if len(phrases) > MOST_ORDERED:
        return max(_least_length(begun, [ids]) for ids in phrases)

    def joined(order: Sequence[list[int]]) -> int:
        said = list(begun)
        for ids in order:
            shared = next(n for n in range(len(ids), -1, -1) if said[len(said) - n :] == ids[:n])
            said += ids[shared:]
        return len(said)

    return min(map(joined, itertools.permutations(phrases)))


def _holds(ids: list[int], phrase: list[int]) -> bool:
    spans = range(len(ids) - len(phrase) + 1)
    return any(ids[start : start + len(phrase)] == phrase for start in spans)


def begun(phrases: Any, said: Any, t: Any) -> Any:
    """Whether the last tokens are the beginning of a phrase.

    Args:
        phrases: `(R, C, M)` int32, −1 behind each.
        said: `(R, L)` int32, the tokens so far.
        t: how many they are.

    Returns:
        `(R, C, M)` bool: at `p`, the last `p` tokens equal the phrase's first `p`. True at 0.
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
    """The last `count` of the first `t` tokens, `(R, count)` int32; −1 before the first."""
    places = t - count + ops.arange(count, dtype="int32")
    tokens = ops.take(said, ops.maximum(places, 0), axis=1)
    return ops.where(places[None] >= 0, tokens, -1)


def sizes(phrases: Any) -> Any:
    """Tokens of each phrase: `(…, M)` to `(…)` int32; 0 for one that is not there."""
    return ops.sum(ops.cast(phrases >= 0, "int32"), axis=-1)
