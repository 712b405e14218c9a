"""What a search wrote, step by step, and how the sequences are read back out of it at the end.

A step writes one row per hypothesis and says which hypothesis of the step before it continues.
Nothing that was written changes its place while the search runs, so each of its steps costs the
same; the sequences are put in order once, when it is over. (TensorFlow's CPU kernel for scattered
updates copies the whole array, which shows where long searches keep the weights of long sources.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops


class History(NamedTuple):
    """`L` steps of `R` rows; steps that were not taken hold the values of `blank`."""

    tokens: Any  # (L, R) int32
    parents: Any  # (L, R) int32, the row of the step before, or () where rows never change places
    log_probs: Any  # (L, R) float32, of the tokens
    weights: Any  # (L, R, S) float32, or () when none are kept


def blank(
    max_length: int, rows: Any, pad_id: int, source_length: Any = None, *, parents: bool = True
) -> History:
    """A history of no steps.

    Args:
        max_length: most steps, `L`.
        rows: hypotheses, `R`.
        pad_id: the token of steps that are not taken.
        source_length: `S`, to keep weights; None keeps none.
        parents: whether rows can change places.
    """
    shape = (max_length, rows)
    kept: Any = ()
    if source_length is not None:
        kept = ops.zeros((*shape, source_length), dtype="float32")
    own: Any = ()
    if parents:
        own = ops.broadcast_to(ops.arange(rows, dtype="int32")[None], shape)
    return History(
        tokens=ops.full(shape, pad_id, dtype="int32"),
        parents=own,
        log_probs=ops.zeros(shape, dtype="float32"),
        weights=kept,
    )


def write(history: History, t: Any, step: History) -> History:
    """`history` with `step`, of `(R,)` and `(R, S)`, as its step `t`."""
    place = ops.reshape(ops.cast(t, "int32"), (1, 1))
    return keras.tree.map_structure(
        lambda old, new: ops.scatter_update(old, place, new[None]), history, step
    )


def read(history: History, rows: Any) -> History:
    """The sequences that end in `rows`, in the order of time.

    The rows through which a sequence went are found by pointer jumping: with `p_t` the parents of
    step `t`, the row after step `t` is `(p_{t+1} ∘ … ∘ p_{L−1})(row)`, and the compositions of all
    `t` come out of `⌈log₂ L⌉` gathers, each over twice as many steps as the last.

    Args:
        history: of the whole search.
        rows: `(N,)` int32.

    Returns:
        A `History` of `(N, L)` and `(N, L, S)`; its `parents` are the rows gone through.
    """
    steps, count = history.tokens.shape[0], ops.shape(history.tokens)[1]
    places = _rows_through(history.parents, steps, count, rows)  # (L, N)
    flat = ops.arange(steps, dtype="int32")[:, None] * count + places

    def pick(written: Any) -> Any:
        rest = ops.shape(written)[2:]
        picked = ops.take(ops.reshape(written, (-1, *rest)), ops.transpose(flat), axis=0)
        return ops.reshape(picked, (ops.shape(rows)[0], steps, *rest))

    return History(
        tokens=pick(history.tokens),
        parents=ops.transpose(places),
        log_probs=pick(history.log_probs),
        weights=() if isinstance(history.weights, tuple) else pick(history.weights),
    )


def _rows_through(parents: Any, steps: int, count: Any, rows: Any) -> Any:
    """`(L, N)`: the row after each step of the sequences that end in `rows`."""
    if isinstance(parents, tuple):
        return ops.broadcast_to(rows[None], (steps, ops.shape(rows)[0]))
    own = ops.arange(count, dtype="int32")[None]
    offsets = ops.arange(steps, dtype="int32")[:, None] * count
    # through[t] leads from a row after the step t + reach to the row after t.
    through, reach = ops.concatenate([parents[1:], own], axis=0), 1
    while reach < steps:
        beyond = ops.broadcast_to(own, (reach, count))
        further = ops.concatenate([through[reach:], beyond], axis=0)
        through = ops.take(ops.reshape(through, (-1,)), offsets + further, axis=0)
        through = ops.reshape(through, (steps, count))  # JAX drops the shape of nothing taken
        reach *= 2
    return ops.take(through, rows, axis=1)
