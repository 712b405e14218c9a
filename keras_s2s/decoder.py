"""The recurrent decoder with attention: all target steps at once, or one token at a time."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.attention import Attention, Encoded, Memory, Score, values_shape
from keras_s2s.encoder import State, check_size, check_stack
from keras_s2s.recurrent import CELLS


@keras.saving.register_keras_serializable(package="keras_s2s")
class Decoder(keras.layers.Layer):
    """Predicts each target token from those before it and from the source (Luong et al. 2015, §3).

    1. Embed the tokens and run `depth` recurrent layers: decoder states `h_t`.
    2. Attend with `h_t`: `context_t, weights_t = attention(h_t, memory)`.
    3. `a_t = tanh(W·[context_t; h_t])`, the same `h_t` that attended.
    4. `logits_t = V·a_t + b`.

    `call` does each of these for all steps in one large product; `step` does one token. Both use
    one set of weights, and looping `step` gives what `call` gives. Attention does not feed back
    into the recurrence.

    Args:
        vocabulary_size: number of target ids `V`.
        embedding_size: width `E` of the embedding.
        units: width `U` of each recurrent layer.
        depth: number of recurrent layers.
        cell: 'lstm' or 'gru'.
        attention: an `Attention`, a score's name, or None for the plain encoder–decoder, whose
            logits come from `h_t` alone and whose weights are zeros.
        attention_size: width of `a_t`; `units` when omitted. Only with attention.
        dropout: share of the inputs of each layer, and of `a_t`, dropped in training.

    Example:
    >>> import numpy as np
    >>> from keras_s2s import Encoded
    >>> decoder = Decoder(vocabulary_size=20, embedding_size=8, units=16, cell="gru")
    >>> encoded = Encoded(np.ones((2, 5, 6), "float32"), np.ones((2, 5), bool))
    >>> state = ((np.zeros((2, 16), "float32"),),)
    >>> logits, state, weights = decoder(np.array([[2, 7, 8], [2, 9, 0]]), state, encoded)
    >>> logits.shape, weights.shape
    (TensorShape([2, 3, 20]), TensorShape([2, 3, 5]))
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        embedding_size: int,
        units: int,
        depth: int = 1,
        cell: str = "lstm",
        attention: Attention | Score | str | None = "general",
        attention_size: int | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_stack(vocabulary_size, embedding_size, units, depth, cell, dropout)
        if attention is None and attention_size is not None:
            raise ValueError(
                "`attention_size` needs attention; "
                f"got attention=None, attention_size={attention_size!r}."
            )
        if attention_size is not None:
            check_size("attention_size", attention_size)
        self.vocabulary_size = vocabulary_size
        self.embedding_size = embedding_size
        self.units = units
        self.depth = depth
        self.cell = cell
        self.attention_size = attention_size
        self.dropout = dropout

        policy = self.dtype_policy
        if isinstance(attention, (str, Score)):
            attention = Attention(attention, dtype=policy, name="attention")
        if attention is not None and not isinstance(attention, Attention):
            raise TypeError(
                "`attention` must be an Attention, a Score, a score's name or None; got "
                f"{type(attention).__name__}."
            )
        self.attention = attention
        self.embedding = keras.layers.Embedding(
            vocabulary_size, embedding_size, dtype=policy, name="embedding"
        )
        self.recurrent = [
            CELLS[cell](units, dtype=policy, name=f"recurrent_{i}") for i in range(depth)
        ]
        self.dropouts = [
            keras.layers.Dropout(dropout, dtype=policy, name=f"dropout_{i}")
            for i in range(depth + 1)
        ]
        if attention is not None:
            self.attention_layer = keras.layers.Dense(
                attention_size or units,
                activation="tanh",
                use_bias=False,
                dtype=policy,
                name="attention_layer",
            )
        self.output_layer = keras.layers.Dense(vocabulary_size, dtype=policy, name="output_layer")

    @property
    def state_sizes(self) -> tuple[tuple[int, ...], ...]:
        """Per layer, the width of each tensor of the state."""
        return ((self.units,) * CELLS[self.cell].states,) * self.depth

    def build(self, target_ids_shape: Any, state_shape: Any, memory_shape: Any) -> None:
        self.embedding.build((None, None))
        width = self.embedding_size
        for layer in self.recurrent:
            layer.build((None, None, width))
            width = self.units
        if self.attention is not None:
            values = values_shape(memory_shape)
            if not self.attention.built:
                self.attention.build((None, None, width), values)
            self.attention_layer.build((None, None, values[-1] + width))
            width = self.attention_layer.units
        self.output_layer.build((None, None, width))

    def memory(self, encoded: Encoded | Memory) -> Memory:
        """Adds the attention's keys to an `Encoded`: once per source, before looping `step`."""
        if self.attention is not None:
            return self.attention.memory(encoded)
        return Memory(*encoded) if len(encoded) == 3 else Memory(encoded[0], *encoded)

    def call(
        self,
        target_ids: Any,
        state: State,
        memory: Encoded | Memory,
        training: bool | None = None,
    ) -> tuple[Any, State, Any]:
        """All target steps, teacher forced.

        Step `t` reads `target_ids[:, t]` and predicts the token after it.

        Args:
            target_ids: `(B, T)` int, the start token first. Padding belongs at the end; what is
                predicted there is to be masked by the loss.
            state: one tuple per layer of tensors `(B, U)`.
            memory: an `Encoded` or a `Memory` of the same batch.
            training: whether dropout is on.

        Returns:
            `(logits (B, T, V), state, weights (B, T, S))`.
        """
        self._check_state(state)
        x = self.embedding(target_ids)  # (B, T, E)
        new_state = []
        for i, layer in enumerate(self.recurrent):
            x = self.dropouts[i](x, training=training)
            x, after = layer(x, initial_state=tuple(state[i]), training=training)
            new_state.append(after)
        logits, weights = self._predict(x, self.memory(memory), training)
        return logits, tuple(new_state), weights

    def step(self, tokens: Any, state: State, memory: Encoded | Memory) -> tuple[Any, State, Any]:
        """One token of each row, without dropout.

        Args:
            tokens: `(N,)` int. `N` is the memory's `B`, or `B·K` for `K` rows in a row per source,
                as beam search keeps them: the memory is not repeated.
            state: one tuple per layer of tensors `(N, U)`.
            memory: a `Memory` (`decoder.memory(encoded)`); an `Encoded` works, at the cost of its
                keys.

        Returns:
            `(logits (N, V), state, weights (N, S))`.
        """
        if not self.built:
            raise ValueError(
                "This decoder has no weights yet, so it cannot step. "
                "Call it once, or build it, first."
            )
        self._check_state(state)
        memory = self.memory(memory)
        x = self.embedding(tokens)  # (N, E)
        new_state = []
        for layer, before in zip(self.recurrent, state, strict=True):
            x, after = layer.step(x, tuple(before))
            new_state.append(after)
        # The rows of one source are its queries: (B, K, U).
        queries = ops.reshape(x, (ops.shape(memory.values)[0], -1, self.units))
        logits, weights = self._predict(queries, memory, False)
        return _rows(logits), tuple(new_state), _rows(weights)

    def _predict(self, x: Any, memory: Memory, training: bool | None) -> tuple[Any, Any]:
        """Decoder states `(B, T, U)` to `(logits (B, T, V), weights (B, T, S))`."""
        if self.attention is None:
            # Nothing is attended to: zeros of (B, T, S), so that callers need no special case.
            weights = ops.zeros_like(
                ops.cast(x[:, :, :1], "float32") * ops.cast(memory.mask[:, None, :], "float32")
            )
        else:
            context, weights = self.attention(x, memory)
            x = self.attention_layer(ops.concatenate([context, x], axis=-1))
        x = self.dropouts[self.depth](x, training=training)
        return self.output_layer(x), weights

    def _check_state(self, state: State) -> None:
        """A state that does not fit means a bridge is missing, which no later error would say."""
        widths = keras.tree.map_structure(lambda x: tuple(x.shape)[-1], state)
        widths = tuple(tuple(x) if isinstance(x, (tuple, list)) else x for x in widths)
        if widths != self.state_sizes:
            raise ValueError(
                "`state` must hold one tuple of tensors per layer, of the widths "
                f"{self.state_sizes}; got {widths}. DenseBridge(decoder.state_sizes) makes such a "
                "state out of any encoder's."
            )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_size": self.embedding_size,
            "units": self.units,
            "depth": self.depth,
            "cell": self.cell,
            "attention": keras.saving.serialize_keras_object(self.attention),
            "attention_size": self.attention_size,
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Decoder:
        attention = keras.saving.deserialize_keras_object(config["attention"])
        return cls(**{**config, "attention": attention})


def _rows(x: Any) -> Any:
    """`(B, K, …)` to `(B·K, …)`."""
    return ops.reshape(x, (-1, ops.shape(x)[-1]))
