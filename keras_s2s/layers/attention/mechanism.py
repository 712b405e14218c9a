"""What every attention mechanism is: a memory, a state, one step of many rows, a whole sequence."""

from __future__ import annotations

from typing import Any, TypeVar

import keras
from keras import ops

from keras_s2s.layers.attention.memory import (
    Encoded,
    Memory,
    check_memory,
    check_query,
    weights_dtype,
)
from keras_s2s.layers.scan import Tensors, scan
from keras_s2s.system.checks import type_in_words

Part = TypeVar("Part", bound=keras.layers.Layer)
State = Any  # nested tuples of tensors; () where there is none


class Mechanism(keras.layers.Layer):
    """Weights over the source for every query, and what comes back. Use a subclass.

    Nothing is kept between calls. What a mechanism remembers of earlier steps (the previous
    alignment, a coverage, a position) is its state: nested tuples of tensors with one row per row
    of the decoder. A mechanism whose next weights depend on its last ones has `follows_alignment`;
    the others attend with all queries of a sequence at once.

    Subclasses give `build`, `prepare`, `initial_state`, `attend`, and what else they have of
    `unroll` and `noise`.
    """

    @property
    def follows_alignment(self) -> bool:
        """Whether the weights of a step depend on those before, so that a sequence is a loop."""
        return False

    @property
    def remembers(self) -> bool:
        """Whether there is a state at all."""
        return self.follows_alignment

    def context_size(self, memory_shape: Any) -> int:
        """Width of the context."""
        raise NotImplementedError

    def prepare(self, values: Any) -> Any:
        """The keys of values `(B, S, M)`: a tensor `(B, S, A)`, or a tuple of such."""
        raise NotImplementedError

    def initial_state(self, memory: Memory) -> State:
        """The state before the first step: tensors `(B, …)`, one row per source."""
        return ()

    def attend(
        self, query: Any, memory: Memory, state: State, noise: State
    ) -> tuple[Any, Any, State]:
        """One step of `K` rows per source.

        Args:
            query: `(B, K, U)`.
            memory: a `Memory`.
            state: tensors `(B, K, …)`.
            noise: what `noise` drew, `(B, K, S)` each, or ().

        Returns:
            `(context (B, K, C), weights (B, K, S), state)`.
        """
        raise NotImplementedError

    def unroll(self, state: State, steps: Any) -> tuple[State, State]:
        """For a mechanism that follows no alignment: the states of all steps, and the one after.

        Tensors `(B, …)` to `(B, T, …)` and `(B, …)`.
        """
        return (), ()

    def noise(self, memory: Memory, steps: Any) -> State:
        """What is random in training: tensors `(B, T, S)`, drawn before any loop."""
        return ()

    def memory(self, encoded: Encoded | Memory) -> Memory:
        """Adds the keys to an `Encoded`, once per source; a `Memory` comes back as it is.

        Values are zero from here on where the mask is False: what lies there may be anything, and
        0·∞ is no zero.
        """
        if not isinstance(encoded, (tuple, list)) or len(encoded) not in (2, 3):
            raise TypeError(
                "`memory` must be an Encoded (values, mask) or a Memory (keys, values, mask); got "
                f"{type(encoded).__name__}."
            )
        if len(encoded) == 3:
            return Memory(*encoded)
        if encoded[1] is None:
            raise TypeError(
                "The memory's `mask` must be bool, (batch, source length); got None. Where every "
                "position has a real token it is np.ones(values.shape[:2], bool)."
            )
        values, mask = (ops.convert_to_tensor(x) for x in encoded)
        check_memory(values, mask)
        values = ops.cast(values, self.compute_dtype)
        values = ops.where(mask[:, :, None], values, ops.zeros_like(values))
        return Memory(self.prepare(values), values, mask)

    def call(
        self, query: Any, memory: Encoded | Memory, training: bool | None = None
    ) -> tuple[Any, Any]:
        """Attends with any number of queries, in the order of time.

        Args:
            query: `(B, T, U)` float.
            memory: a `Memory`; an `Encoded` works too, its keys are then computed in this call.
            training: whether dropout and noise are on.

        Returns:
            `(context (B, T, C), weights (B, T, S))`; weights are float32 (float64 under float64).
        """
        memory = self.memory(memory)
        check_query(query, memory.values)
        context, weights, _ = self.sequence(query, memory, self.initial_state(memory), training)
        return context, weights

    def sequence(
        self, query: Any, memory: Memory, state: State, training: bool | None = None
    ) -> tuple[Any, Any, State]:
        """As `call`, from a state `(B, …)` to the one after the last query."""
        query = ops.cast(query, self.compute_dtype)
        noise = self.noise(memory, ops.shape(query)[1]) if training else ()
        if not self.follows_alignment:
            states, after = self.unroll(state, ops.shape(query)[1])
            context, weights, _ = self.attend(query, memory, states, noise)
            return context, weights, after

        def step(flat: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
            rows = _packed(state, [x[:, None] for x in flat])
            query, *drawn = (x[:, None] for x in inputs)
            context, weights, rows = self.attend(query, memory, rows, _packed(noise, drawn))
            # Values may be wider than the policy computes in, and the loop's outputs are not.
            context = ops.cast(context[:, 0], self.compute_dtype)
            return tuple(x[:, 0] for x in _flat(rows)), (context, weights[:, 0])

        last, (context, weights) = scan(
            step,
            _flat(state),
            tuple(time_first(x) for x in (query, *_flat(noise))),
            (self.context_size(memory.values.shape), memory.values.shape[1]),
            (self.compute_dtype, weights_dtype(self)),
        )
        return time_first(context), time_first(weights), _packed(state, last)

    def step(
        self, query: Any, memory: Memory, state: State, noise: State = ()
    ) -> tuple[Any, Any, State]:
        """One query of each of `N = B·K` rows, the rows of one source behind each other.

        Args:
            query: `(N, U)`.
            memory: a `Memory` of `B` sources.
            state: tensors `(N, …)`.
            noise: tensors `(N, S)`, or ().

        Returns:
            `(context (N, C), weights (N, S), state)`.
        """
        batch = ops.shape(memory.values)[0]

        def split(x: Any) -> Any:
            return ops.reshape(x, (batch, -1, *ops.shape(x)[1:]))

        query = ops.cast(split(query), self.compute_dtype)
        state, noise = keras.tree.map_structure(split, (state, noise))
        context, weights, state = self.attend(query, memory, state, noise)
        return joined(context), joined(weights), keras.tree.map_structure(joined, state)


def time_first(x: Any) -> Any:
    """`(B, T, …)` to `(T, B, …)`, and back."""
    return ops.transpose(x, (1, 0, *range(2, len(x.shape))))


def joined(x: Any) -> Any:
    """`(B, K, …)` to `(B·K, …)`."""
    return ops.reshape(x, (-1, *ops.shape(x)[2:]))


def _flat(state: State) -> Tensors:
    return tuple(keras.tree.flatten(state))


def _packed(like: State, flat: Any) -> State:
    return keras.tree.pack_sequence_as(like, list(flat))


def part(name: str, given: Any, kind: type[Part], known: dict[str, type[Part]], dtype: Any) -> Part:
    """A part of a mechanism, by name or as it is.

    Raises:
        ValueError: no part is named so.
        TypeError: neither a name nor a part.
    """
    if isinstance(given, str):
        if given not in known:
            raise ValueError(
                f"`{name}` must be one of {', '.join(map(repr, known))} or a {kind.__name__}; "
                f"got {name}={given!r}."
            )
        return known[given](dtype=dtype)
    if not isinstance(given, kind):
        received = type_in_words(given)
        raise TypeError(f"`{name}` must be a name or a {kind.__name__}; got {received}.")
    return given
