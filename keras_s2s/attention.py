"""Attention over an encoded source: what is remembered, how it is scored, what comes back.

Owns `Encoded`, `Memory`, the scores and the `Attention` layer. Nothing is kept on a layer between
calls: the memory is an argument everywhere, so one layer serves training, search with any number of
beams, and export. To add a score, write one `Score` subclass and name it in `SCORES`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

Shape = tuple[int | None, ...]


class Encoded(NamedTuple):
    """An encoded source, not yet prepared for a score.

    Attributes:
        values: `(B, S, M)` float, one encoder state per source position.
        mask: `(B, S)` bool, True where the source has a real token.
    """

    values: Any
    mask: Any


class Memory(NamedTuple):
    """An encoded source with the keys a score compares queries with.

    Attributes:
        keys: `(B, S, A)` float, `score.keys(values)`, computed once per source.
        values: `(B, S, M)` float.
        mask: `(B, S)` bool, True where the source has a real token.
    """

    keys: Any
    values: Any
    mask: Any


class Score(keras.layers.Layer):
    """How well a query matches a key.

    Subclasses give `keys` and `call`; `build`, which `Attention` calls, makes their weights.

    Example:
    >>> class ScaledDotScore(DotScore):
    ...     def keys(self, values):
    ...         return values / values.shape[-1] ** 0.5
    >>> attention = Attention(ScaledDotScore())
    """

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        """Makes the weights for queries `(B, T, U)` and values `(B, S, M)`."""

    def keys(self, values: Any) -> Any:
        """What queries are compared with: `(B, S, M)` to `(B, S, A)`."""
        raise NotImplementedError

    def call(self, query: Any, keys: Any) -> Any:
        """Scores before softmax: `(B, T, U)` and `(B, S, A)` to `(B, T, S)`."""
        raise NotImplementedError

    # Defined, so that Keras takes the base configuration for a score without options of its own.
    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config())


@keras.saving.register_keras_serializable(package="keras_s2s")
class DotScore(Score):
    """Luong dot: `score(q, v) = qᵀv` (Luong et al. 2015, eq. 8). Needs `U == M`; no weights.

    Example:
    >>> import numpy as np
    >>> query, values = np.array([[[1.0, 2.0]]]), np.array([[[3.0, 4.0], [5.0, 6.0]]])
    >>> score = DotScore()
    >>> score.build(query.shape, values.shape)
    >>> score(query, score.keys(values)).numpy().tolist()
    [[[11.0, 17.0]]]
    """

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        if query_shape[-1] != values_shape[-1]:
            raise ValueError(
                "Dot attention needs a decoder as wide as the memory; got decoder units "
                f"{query_shape[-1]} and memory width {values_shape[-1]} (a bidirectional "
                "encoder's memory is 2 × units). Take score='general' or make the widths equal."
            )

    def keys(self, values: Any) -> Any:
        return values

    def call(self, query: Any, keys: Any) -> Any:
        return _product(query, keys)


@keras.saving.register_keras_serializable(package="keras_s2s")
class GeneralScore(Score):
    """Luong general: `score(q, v) = qᵀWv`, `W` of `(U, M)` (Luong et al. 2015, eq. 8).

    Example:
    >>> import numpy as np
    >>> query, values = np.ones((1, 4, 8), "float32"), np.ones((1, 3, 6), "float32")
    >>> score = GeneralScore()
    >>> score.build(query.shape, values.shape)
    >>> score(query, score.keys(values)).shape
    TensorShape([1, 4, 3])
    """

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(values_shape[-1], query_shape[-1]),
            initializer="glorot_uniform",
        )

    def keys(self, values: Any) -> Any:
        return ops.matmul(values, ops.cast(self.kernel, values.dtype))  # (B, S, U)

    def call(self, query: Any, keys: Any) -> Any:
        return _product(query, keys)


@keras.saving.register_keras_serializable(package="keras_s2s")
class ConcatScore(Score):
    """Bahdanau concat: `score(q, v) = sᵀ·tanh(Wq·q + Wv·v)` (Bahdanau et al. 2015, A.1.2).

    Luong et al. (2015, eq. 8) write it as one matrix over the concatenated pair, which is the same.
    Both sides have projections of their own, unlike `keras.layers.AdditiveAttention`.

    Args:
        units: width `A` of the projections; the decoder's width when omitted.

    Example:
    >>> import numpy as np
    >>> query, values = np.ones((1, 4, 8), "float32"), np.ones((1, 3, 6), "float32")
    >>> score = ConcatScore(units=5)
    >>> score.build(query.shape, values.shape)
    >>> keys = score.keys(values)
    >>> keys.shape, score(query, keys).shape
    (TensorShape([1, 3, 5]), TensorShape([1, 4, 3]))
    """

    def __init__(self, units: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        is_count = isinstance(units, int) and not isinstance(units, bool) and units > 0
        if units is not None and not is_count:
            raise ValueError(f"`units` must be a positive integer or None; got units={units!r}.")
        self.units = units

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        units = self.units or query_shape[-1]
        self.query_kernel = self.add_weight(
            name="query_kernel", shape=(query_shape[-1], units), initializer="glorot_uniform"
        )
        self.values_kernel = self.add_weight(
            name="values_kernel", shape=(values_shape[-1], units), initializer="glorot_uniform"
        )
        self.scale = self.add_weight(name="scale", shape=(units, 1), initializer="glorot_uniform")

    def keys(self, values: Any) -> Any:
        return ops.matmul(values, ops.cast(self.values_kernel, values.dtype))  # (B, S, A)

    def call(self, query: Any, keys: Any) -> Any:
        query = ops.matmul(query, self.query_kernel)  # (B, T, A)
        hidden = ops.tanh(query[:, :, None, :] + keys[:, None, :, :])  # (B, T, S, A)
        return ops.squeeze(ops.matmul(hidden, self.scale), axis=-1)  # (B, T, S)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


SCORES: dict[str, type[Score]] = {
    "dot": DotScore,
    "general": GeneralScore,
    "concat": ConcatScore,
}


@keras.saving.register_keras_serializable(package="keras_s2s")
class Attention(keras.layers.Layer):
    """Weights over the source for every query, and the weighted mean of its values.

    ```
    weights = softmax(score(query, keys))        over the real source positions, in float32
    context = Σ_s weights[s] · values[s]
    ```

    Masked positions get a weight of exactly zero. A row with nothing to attend to (no real
    position) gets zero weights and a zero context, with zero gradients.

    Args:
        score: 'dot', 'general', 'concat', or a `Score`.

    Example:
    >>> import numpy as np
    >>> attention = Attention("general")
    >>> query, values = np.ones((1, 4, 8), "float32"), np.ones((1, 3, 6), "float32")
    >>> attention.build(query.shape, values.shape)
    >>> memory = attention.memory(Encoded(values, np.array([[True, True, False]])))
    >>> context, weights = attention(query, memory)
    >>> context.shape, weights[0, 0].numpy().tolist()
    (TensorShape([1, 4, 6]), [0.5, 0.5, 0.0])
    """

    def __init__(self, score: str | Score = "general", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(score, str):
            if score not in SCORES:
                raise ValueError(
                    f"`score` must be one of {', '.join(map(repr, SCORES))} or a Score; "
                    f"got score={score!r}."
                )
            score = SCORES[score](dtype=self.dtype_policy)
        if not isinstance(score, Score):
            raise TypeError(f"`score` must be a name or a Score; got {type(score).__name__}.")
        self.score = score

    def build(self, query_shape: Shape, memory_shape: Any) -> None:
        """Makes the score's weights.

        Args:
            query_shape: of `(B, T, U)`.
            memory_shape: of the values `(B, S, M)`, or the shapes of an `Encoded` or a `Memory`.
        """
        if not self.score.built:
            self.score.build(tuple(query_shape), values_shape(memory_shape))

    def memory(self, encoded: Encoded | Memory) -> Memory:
        """Adds the keys to an `Encoded`, once per source; a `Memory` comes back as it is."""
        if len(encoded) == 3:
            return Memory(*encoded)
        values, mask = encoded
        values = ops.convert_to_tensor(values)
        return Memory(self.score.keys(ops.cast(values, self.compute_dtype)), values, mask)

    def call(self, query: Any, memory: Encoded | Memory) -> tuple[Any, Any]:
        """Attends with any number of queries.

        Args:
            query: `(B, T, U)` float.
            memory: a `Memory`; an `Encoded` works too, its keys are then computed in this call.

        Returns:
            `(context (B, T, M), weights (B, T, S))`; weights are float32 (float64 under float64).
        """
        keys, values, mask = self.memory(memory)
        at_least = "float64" if self.compute_dtype == "float64" else "float32"
        scores = ops.cast(self.score(query, keys), at_least)  # (B, T, S)
        weights = masked_softmax(scores, ops.expand_dims(mask, 1))
        context = ops.matmul(ops.cast(weights, values.dtype), values)  # (B, T, M)
        return context, weights

    def get_config(self) -> dict[str, Any]:
        score = keras.saving.serialize_keras_object(self.score)
        return {**super().get_config(), "score": score}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Attention:
        return cls(**{**config, "score": keras.saving.deserialize_keras_object(config["score"])})


def masked_softmax(scores: Any, mask: Any) -> Any:
    """Softmax over the last axis where `mask` is True, exactly zero elsewhere, whatever the row."""
    # The dtype's minimum, not −inf: a row without a True stays finite, forward and backward.
    lowest = -3.4028235e38
    weights = ops.softmax(ops.where(mask, scores, lowest), axis=-1)
    return ops.where(mask, weights, 0.0)


def values_shape(memory_shape: Any) -> tuple[Any, ...]:
    """The shape of the values, out of itself or the shapes of an `Encoded` or a `Memory`."""
    if isinstance(memory_shape[0], (tuple, list)):
        memory_shape = memory_shape[-2]
    if memory_shape[-1] is None:
        raise ValueError(
            f"The last axis of the memory's values must be known; got shape {tuple(memory_shape)}."
        )
    return tuple(memory_shape)


def _product(query: Any, keys: Any) -> Any:
    return ops.matmul(query, ops.transpose(keys, (0, 2, 1)))  # (B, T, S)
