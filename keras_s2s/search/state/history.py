"""The history of a search, from which the sequences of tokens are read back at the end.

A step writes one row for each hypothesis, with the number of the hypothesis of the step before that
it continues. Rows never change their place while the search runs, so that all steps cost the same.
The sequences are put in order once, after the last step.

TensorFlow's CPU kernel for scattered updates copies the whole array at each step. This costs
noticeable time when a long search returns the attention weights of long sources.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops


class History(NamedTuple):
    """`L` steps with `R` rows each. Steps that were not taken have the values of `blank`."""

    tokens: Any  # (L, R) int32
    parents: Any  # (L, R) int32, the row of the step before, or () if rows never change places
    log_probs: Any  # (L, R) float32, the log-probabilities of the tokens
    weights: Any  # (L, R, S) float32 attention weights, or () if the search returns none


def blank(
    max_length: int, rows: Any, pad_id: int, source_length: Any = None, *, parents: bool = True
) -> History:
    """Returns a history before the first step.

    Args:
        max_length: the greatest number of steps, `L`.
        rows: the number of hypotheses, `R`.
        pad_id: the token of steps that are not taken.
        source_length: `S` for a history with attention weights; None for a history without them.
        parents: whether rows can change places.
    """
    shape = (max_length, rows)
    weights: Any = ()
    if source_length is not None:
        weights = ops.zeros((*shape, source_length), dtype="float32")
    unmoved: Any = ()
    if parents:
        unmoved = ops.broadcast_to(ops.arange(rows, dtype="int32")[None], shape)
    return History(
        tokens=ops.full(shape, pad_id, dtype="int32"),
        parents=unmoved,
        log_probs=ops.zeros(shape, dtype="float32"),
        weights=weights,
    )


def write(history: History, t: Any, step: History) -> History:
    """Writes a step.

    Args:
        history: the steps so far.
        t: the number of the step, an int32 scalar.
        step: the `(R,)` tokens, parents and log-probabilities of the step, and its `(R, S)`
            weights.
    """
    place = ops.reshape(ops.cast(t, "int32"), (1, 1))
    return keras.tree.map_structure(
        lambda old, new: ops.scatter_update(old, place, new[None]), history, step
    )


def read(history: History, rows: Any) -> History:
    """Reads the sequences that end in certain rows, in the order of time.

    The rows of a sequence are computed by pointer jumping. With `p_t` the parents of step `t`, the
    row after step `t` is `(p_{t+1} ∘ … ∘ p_{L−1})(row)`. `⌈log₂ L⌉` gathers give the compositions
    for all `t`, each gather over twice as many steps as the one before.

    Args:
        history: the history of the whole search.
        rows: `(N,)` int32, the last rows of the sequences.

    Returns:
        A `History` of `(N, L)` and `(N, L, S)`, whose `parents` are the rows of the sequences.
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
    """Returns the row after each step of the sequences that end in `rows`, `(L, N)` int32."""
    if isinstance(parents, tuple):
        return ops.broadcast_to(rows[None], (steps, ops.shape(rows)[0]))
    unmoved = ops.arange(count, dtype="int32")[None]
    offsets = ops.arange(steps, dtype="int32")[:, None] * count
    # through[t] leads from a row after the step t + reach to the row after t.
    through, reach = ops.concatenate([parents[1:], unmoved], axis=0), 1
    while reach < steps:
        beyond = ops.broadcast_to(unmoved, (reach, count))
        further = ops.concatenate([through[reach:], beyond], axis=0)
        through = ops.take(ops.reshape(through, (-1,)), offsets + further, axis=0)
        # JAX loses the shape when it takes from an empty array.
        through = ops.reshape(through, (steps, count))
        reach *= 2
    return ops.take(through, rows, axis=1)
