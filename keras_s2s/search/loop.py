"""The loop of every search, one `ops.while_loop` over shapes that do not change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import keras
from keras import ops

# The loop's state: a NamedTuple of tensors with a field `finished`, `(R,)` bool.
State = TypeVar("State", bound=tuple[Any, ...])


def run(advance: Callable[[Any, State], State], start: State, max_length: int) -> tuple[Any, State]:
    """Runs the steps of a search until every row has finished.

    Args:
        advance: function `advance(t, state) -> state` that runs one step. `t` is the number of the
            step, an int32 scalar from 0.
        start: the state before the first step.
        max_length: the greatest number of steps.

    Returns:
        The number of steps that were taken, int32, and the last state.
    """
    kind = type(start)

    def unfinished(t: Any, state: Any) -> Any:
        return ops.logical_not(ops.all(state.finished))

    def body(t: Any, state: Any) -> tuple[Any, Any]:
        new = advance(t, state)
        return t + 1, keras.tree.map_structure(_shaped_like, new, state)

    first = ops.convert_to_tensor(0, dtype="int32")
    steps, state = ops.while_loop(unfinished, body, (first, start), maximum_iterations=max_length)
    return steps, kind(*state)


def _shaped_like(new: Any, old: Any) -> Any:
    """Gives `new` the static shape of `old`, which a compiled loop must know as well as before."""
    if tuple(new.shape) == tuple(old.shape):
        return new
    return ops.reshape(new, ops.shape(old))
