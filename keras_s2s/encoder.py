"""The recurrent encoder: source ids to an encoded source and a final state."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.attention import Encoded
from keras_s2s.recurrent import CELLS, Recurrent
from keras_s2s.scan import Tensors

State = tuple[Tensors, ...]


@keras.saving.register_keras_serializable(package="keras_s2s")
class Encoder(keras.layers.Layer):
    """Reads the whole source and remembers every state.

    1. Embed the ids; positions with `pad_id` are masked, wherever they are.
    2. Run `depth` recurrent layers; dropout on the input of each and on the memory.
    3. A bidirectional layer runs a second recurrence from the end to the start and concatenates the
       two.

    Args:
        vocabulary_size: number of source ids.
        embedding_size: width `E` of the embedding.
        units: width of each recurrence; the memory is twice as wide when bidirectional.
        depth: number of recurrent layers.
        cell: 'lstm' or 'gru'.
        bidirectional: read the source in both directions (Schuster & Paliwal 1997).
        dropout: share of inputs of each layer dropped in training.
        reverse_source: read the source from its end (Sutskever et al. 2014). The memory keeps the
            order of the source, so alignments need no turning.
        pad_id: the id that is not a token.

    Example:
    >>> import numpy as np
    >>> encoder = Encoder(vocabulary_size=20, embedding_size=8, units=16, cell="gru")
    >>> encoded, state = encoder(np.array([[5, 6, 7, 3], [8, 3, 0, 0]]))
    >>> encoded.values.shape, encoded.mask.shape, state[0][0].shape
    (TensorShape([2, 4, 32]), TensorShape([2, 4]), TensorShape([2, 32]))
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        embedding_size: int,
        units: int,
        depth: int = 1,
        cell: str = "lstm",
        bidirectional: bool = True,
        dropout: float = 0.0,
        reverse_source: bool = False,
        pad_id: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_stack(vocabulary_size, embedding_size, units, depth, cell, dropout)
        if not isinstance(pad_id, int) or not 0 <= pad_id < vocabulary_size:
            raise ValueError(
                "`pad_id` must be an id of the vocabulary, from 0 to below "
                f"vocabulary_size={vocabulary_size}; got pad_id={pad_id!r}."
            )
        self.vocabulary_size = vocabulary_size
        self.embedding_size = embedding_size
        self.units = units
        self.depth = depth
        self.cell = cell
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.reverse_source = reverse_source
        self.pad_id = pad_id

        policy = self.dtype_policy
        self.embedding = keras.layers.Embedding(
            vocabulary_size, embedding_size, dtype=policy, name="embedding"
        )
        self.forward = [CELLS[cell](units, dtype=policy, name=f"forward_{i}") for i in range(depth)]
        self.backward = [
            CELLS[cell](units, dtype=policy, name=f"backward_{i}")
            for i in range(depth if bidirectional else 0)
        ]
        self.dropouts = [
            keras.layers.Dropout(dropout, dtype=policy, name=f"dropout_{i}")
            for i in range(depth + 1)
        ]

    @property
    def memory_size(self) -> int:
        """Width `M` of the memory."""
        return self.units * (2 if self.bidirectional else 1)

    @property
    def state_sizes(self) -> tuple[tuple[int, ...], ...]:
        """Per layer, the width of each tensor of the final state."""
        return ((self.memory_size,) * CELLS[self.cell].states,) * self.depth

    def build(self, source_ids_shape: Any = None) -> None:
        self.embedding.build((None, None))
        width = self.embedding_size
        for i in range(self.depth):
            for layer in self._directions(i):
                layer.build((None, None, width))
            width = self.memory_size

    def _directions(self, i: int) -> list[Recurrent]:
        return [self.forward[i], self.backward[i]] if self.bidirectional else [self.forward[i]]

    def call(self, source_ids: Any, training: bool | None = None) -> tuple[Encoded, State]:
        """Encodes a batch.

        Args:
            source_ids: `(B, S)` int; `pad_id` marks positions that hold no token, in any pattern.
            training: whether dropout is on.

        Returns:
            `(Encoded(values (B, S, M), mask (B, S)), state)`, the state one tuple per layer, each
            of tensors `(B, M)`: `(h, c)` for LSTM, `(h,)` for GRU, the directions concatenated.
        """
        source_ids = ops.convert_to_tensor(source_ids)
        if len(source_ids.shape) != 2:
            raise ValueError(
                "`source_ids` must have the shape (batch, source length); "
                f"got {tuple(source_ids.shape)}."
            )
        if self.reverse_source:
            source_ids = ops.flip(source_ids, axis=1)
        mask = ops.not_equal(source_ids, self.pad_id)
        flipped = ops.flip(mask, axis=1)
        x = self.embedding(source_ids)  # (B, S, E)
        state = []
        for i in range(self.depth):
            x = self.dropouts[i](x, training=training)
            outputs, final = self.forward[i](x, mask=mask, training=training)
            if self.bidirectional:
                back, back_final = self.backward[i](
                    ops.flip(x, axis=1), mask=flipped, training=training
                )
                outputs = ops.concatenate([outputs, ops.flip(back, axis=1)], axis=-1)
                final = tuple(
                    ops.concatenate(both, axis=-1) for both in zip(final, back_final, strict=True)
                )
            x = outputs  # (B, S, M)
            state.append(final)
        x = self.dropouts[self.depth](x, training=training)
        if self.reverse_source:
            x, mask = ops.flip(x, axis=1), flipped
        return Encoded(x, mask), tuple(state)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_size": self.embedding_size,
            "units": self.units,
            "depth": self.depth,
            "cell": self.cell,
            "bidirectional": self.bidirectional,
            "dropout": self.dropout,
            "reverse_source": self.reverse_source,
            "pad_id": self.pad_id,
        }


def check_stack(
    vocabulary_size: int, embedding_size: int, units: int, depth: int, cell: str, dropout: float
) -> None:
    """Raises ValueError that names the argument of a recurrent stack that cannot work."""
    sizes = {
        "vocabulary_size": vocabulary_size,
        "embedding_size": embedding_size,
        "units": units,
        "depth": depth,
    }
    for name, value in sizes.items():
        check_size(name, value)
    if cell not in CELLS:
        raise ValueError(f"`cell` must be one of {', '.join(map(repr, CELLS))}; got cell={cell!r}.")
    if not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be at least 0 and below 1; got dropout={dropout!r}.")


def check_size(name: str, value: int) -> None:
    """Raises ValueError unless `value` is a positive integer."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer; got {name}={value!r}.")
