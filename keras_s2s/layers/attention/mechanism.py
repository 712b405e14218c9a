"""The base class of attention mechanisms: memory, state, one step, and a whole sequence."""

from __future__ import annotations

from typing import Any, TypeVar

import keras
from keras import ops

from keras_s2s.layers.attention.memory import (
    Encoded,
    Memory,
    Shape,
    check_memory,
    check_query,
    weights_dtype,
)
from keras_s2s.layers.scan import Tensors, scan
from keras_s2s.system.checks import type_in_words

Part = TypeVar("Part", bound=keras.layers.Layer)
State = Any  # nested tuples of tensors; () if there is no state


class Mechanism(keras.layers.Layer):
    """An attention mechanism, which gives weights over the source and a context. Abstract.

    A mechanism keeps nothing between calls. Its state holds everything that it remembers of earlier
    steps, such as the previous alignment, a coverage or a position. The state is nested tuples of
    tensors with one row for each row of the decoder. A mechanism whose weights depend on the
    weights of the step before sets `follows_alignment` and runs as a loop over the queries. Every
    other mechanism attends with all queries of a sequence at once.

    A mechanism of your own subclasses `Mechanism` and defines `context_size`, `prepare` and
    `attend`. It defines `build` if it has weights, `initial_state` if it has a state, `unroll` if
    it has a state that follows no alignment, and `noise` if it is random in training. An `Encoder`
    and a `Decoder` need nothing else: `Decoder(attention=MeanAttention(), …)` uses it.

    Example: A mechanism that ignores the query and weighs all real source tokens alike. The third
    token is padding, so the context is the mean of the first two values.
    >>> import numpy as np
    >>> from keras import ops
    >>> class MeanAttention(Mechanism):
    ...     def context_size(self, memory_shape):
    ...         return memory_shape[-1]
    ...     def prepare(self, values):
    ...         return values
    ...     def attend(self, query, memory, state, noise):
    ...         real = ops.cast(memory.mask, "float32")[:, None]  # (B, 1, S)
    ...         weights = real / ops.maximum(ops.sum(real, axis=-1, keepdims=True), 1.0)
    ...         weights = weights * ops.ones_like(query[:, :, :1])  # (B, K, S)
    ...         return ops.matmul(weights, memory.values), weights, state
    >>> values = np.array([[[0, 3], [1, 0], [2, 5]]], "float32")
    >>> encoded = Encoded(values, np.array([[True, True, False]]))
    >>> context, weights = MeanAttention()(np.ones((1, 1, 4), "float32"), encoded)
    >>> context.numpy().tolist(), weights.numpy().tolist()
    ([[[0.5, 1.5]]], [[[0.5, 0.5, 0.0]]])
    """

    @property
    def follows_alignment(self) -> bool:
        """Whether the weights of a step depend on earlier weights, so that a sequence is a loop."""
        return False

    @property
    def remembers(self) -> bool:
        """Whether the mechanism has a state at all."""
        return self.follows_alignment

    def build(self, query_shape: Shape, memory_shape: Any) -> None:
        """Makes the weights, if the mechanism has any.

        Args:
            query_shape: shape `(B, T, U)` of the queries.
            memory_shape: shape `(B, S, M)` of the values, or the shapes of an `Encoded` or a
                `Memory`.
        """

    def context_size(self, memory_shape: Any) -> int:
        """Returns the width `C` of the context for values of shape `(B, S, M)`."""
        raise NotImplementedError

    def prepare(self, values: Any) -> Any:
        """Computes the keys of values `(B, S, M)`: one or a tuple of tensors `(B, S, A)`."""
        raise NotImplementedError

    def initial_state(self, memory: Memory) -> State:
        """Returns the state before the first step: tensors `(B, …)`, one row per source."""
        return ()

    def attend(
        self, query: Any, memory: Memory, state: State, noise: State
    ) -> tuple[Any, Any, State]:
        """Attends with `K` queries per source, each of which has its own state.

        Args:
            query: `(B, K, U)` float, the `K` queries of each source.
            memory: a `Memory` of `B` sources.
            state: tensors `(B, K, …)`, the state of each query; () for a mechanism without state.
            noise: tensors `(B, K, S)` that the method `noise` drew; () outside training.

        Returns:
            `(context (B, K, C), weights (B, K, S), state)`, the state after this step.
        """
        raise NotImplementedError

    def unroll(self, state: State, steps: Any) -> tuple[State, State]:
        """Returns the states of all `T` steps, and the state after the last step.

        It is called only for a mechanism that follows no alignment. Tensors `(B, …)` become tensors
        `(B, T, …)` and tensors `(B, …)`.
        """
        return (), ()

    def noise(self, memory: Memory, steps: Any) -> State:
        """Draws all random numbers that training needs, before any loop: tensors `(B, T, S)`."""
        return ()

    def memory(self, encoded: Encoded | Memory) -> Memory:
        """Makes the memory of an encoded source, once per source. A `Memory` comes back as it is.

        The memory's values are zero wherever the mask is False. Masked values may be anything, even
        infinite, and a weight of zero times infinity is not zero.

        Raises:
            TypeError: If the argument is neither an `Encoded` nor a `Memory`, or if its mask is
                missing or not bool.
            ValueError: If values and mask do not fit each other.
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
                "The memory's `mask` must be bool, (batch, source length); got None. If every "
                "position has a real token, pass np.ones(values.shape[:2], bool)."
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
            query: `(B, T, U)` float, one query per target step.
            memory: a `Memory`, or an `Encoded`, whose keys are then computed in this call.
            training: whether dropout and noise are on.

        Returns:
            `(context (B, T, C), weights (B, T, S))`; the context has the layer's compute dtype, the
            weights are float32, or float64 under float64.
        """
        memory = self.memory(memory)
        check_query(query, memory.values)
        context, weights, _ = self.sequence(query, memory, self.initial_state(memory), training)
        return context, weights

    def sequence(
        self, query: Any, memory: Memory, state: State, training: bool | None = None
    ) -> tuple[Any, Any, State]:
        """Attends as `call` does, from a given state.

        Args:
            query: `(B, T, U)` float, one query per target step.
            memory: a `Memory` of `B` sources.
            state: tensors `(B, …)`, the state before the first query.
            training: whether dropout and noise are on.

        Returns:
            `(context (B, T, C), weights (B, T, S), state)`, the state after the last query.
        """
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
            # The values of a given memory may be wider than the policy's dtype, unlike the outputs.
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
        """Attends once with each of `N = B·K` rows, where the rows of one source are adjacent.

        Args:
            query: `(N, U)` float, one query per row.
            memory: a `Memory` of `B` sources.
            state: tensors `(N, …)`, the state of each row.
            noise: tensors `(N, S)` for one step of training; () outside training.

        Returns:
            `(context (N, C), weights (N, S), state)`, the state after this step.
        """
        batch = ops.shape(memory.values)[0]

        def split(x: Any) -> Any:
            return ops.reshape(x, (batch, -1, *ops.shape(x)[1:]))

        query = ops.cast(split(query), self.compute_dtype)
        state, noise = keras.tree.map_structure(split, (state, noise))
        context, weights, state = self.attend(query, memory, state, noise)
        return joined(context), joined(weights), keras.tree.map_structure(joined, state)


def time_first(x: Any) -> Any:
    """Swaps the first two axes: `(B, T, …)` to `(T, B, …)`, and back."""
    return ops.transpose(x, (1, 0, *range(2, len(x.shape))))


def joined(x: Any) -> Any:
    """Joins the first two axes: `(B, K, …)` to `(B·K, …)`."""
    return ops.reshape(x, (-1, *ops.shape(x)[2:]))


def _flat(state: State) -> Tensors:
    return tuple(keras.tree.flatten(state))


def _packed(like: State, flat: Any) -> State:
    return keras.tree.pack_sequence_as(like, list(flat))


def resolved_part(
    argument: str,
    part: str | Part,
    kind: type[Part],
    registry: dict[str, type[Part]],
    dtype: Any,
) -> Part:
    """Returns a part of a mechanism, which a user gives as a layer or by its registered name.

    Args:
        argument: the name of the argument that the user gave, for errors.
        part: the layer, or its name in `registry`.
        kind: the base class of such layers, `Score` or `Probability`.
        registry: the classes by name.
        dtype: the dtype policy of a layer made by name.

    Raises:
        ValueError: If no class has this name.
        TypeError: If `part` is neither a name nor a layer of this kind.
    """
    if isinstance(part, str):
        if part not in registry:
            raise ValueError(
                f"`{argument}` must be one of {', '.join(map(repr, registry))} or a "
                f"{kind.__name__}; got {argument}={part!r}."
            )
        return registry[part](dtype=dtype)
    if not isinstance(part, kind):
        received = type_in_words(part)
        raise TypeError(f"`{argument}` must be a name or a {kind.__name__}; got {received}.")
    return part
