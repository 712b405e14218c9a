"""The `Attention` layer: one score, one probability function and, for local attention, a window."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.layers.attention.mechanism import Mechanism, State, resolved_part
from keras_s2s.layers.attention.memory import Memory, Shape, values_shape, weights_dtype
from keras_s2s.layers.attention.probability import PROBABILITIES, Probability
from keras_s2s.layers.attention.scores import SCORES, Score
from keras_s2s.layers.attention.windows import Window
from keras_s2s.system.checks import check_instance, check_shares


@keras.saving.register_keras_serializable(package="keras_s2s")
class Attention(Mechanism):
    """Computes weights over the source for every query, and the weighted mean of the values.

    ```
    weights = probability(score(query, keys))    over the real source positions, in float32
    context = Σ_s weights[s] · values[s]
    ```

    Masked positions get a weight of exactly zero. A row without any real position has nothing to
    attend to. Its weights, its context and their gradients are zero.

    Args:
        score: 'dot', 'scaled_dot', 'general', 'scaled_general', 'concat', 'normalized_concat',
            'location', 'coverage', or a `Score`.
        probability: 'softmax', 'hardmax', 'sparsemax', 'monotonic', or a `Probability`.
        window: a `LocalMonotonicWindow`, a `LocalPredictiveWindow` or another `Window`, for local
            attention; None attends to the whole source.
        dropout: share of the weights that training drops before the mean of the values. The other
            weights are scaled up. The returned weights, and the weights that the next step builds
            on, are without dropout.

    Example: The scores are 0, ln 2 and, at a masked position, 2·ln 2. The weights are 1/3, 2/3
    and 0.
    >>> import numpy as np
    >>> query = np.array([[[np.log(2), 0]]], "float32")
    >>> values = np.array([[[0, 3], [1, 0], [2, 5]]], "float32")
    >>> context, weights = Attention("dot")(query, Encoded(values, np.array([[True, True, False]])))
    >>> weights.numpy().round(3), context.numpy().round(3)
    (array([[[0.333, 0.667, 0.   ]]], dtype=float32), array([[[0.667, 1.   ]]], dtype=float32))
    """

    def __init__(
        self,
        score: str | Score = "general",
        probability: str | Probability = "softmax",
        window: Window | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.score = resolved_part("score", score, Score, SCORES, policy)
        self.probability = resolved_part(
            "probability", probability, Probability, PROBABILITIES, policy
        )
        check_instance("window", window, Window, None)
        check_shares(dropout=dropout)
        self.window = window
        self.dropout = dropout
        self.dropping = keras.layers.Dropout(dropout, dtype=weights_dtype(self))

    @property
    def follows_alignment(self) -> bool:
        return self.score.follows_alignment or self.probability.follows_alignment

    @property
    def remembers(self) -> bool:
        return self.follows_alignment or (self.window is not None and self.window.remembers)

    def build(self, query_shape: Shape, memory_shape: Any) -> None:
        """Makes the weights of the score, the probability function and the window.

        Args:
            query_shape: shape `(B, T, U)` of the queries.
            memory_shape: shape `(B, S, M)` of the values, or the shapes of an `Encoded` or a
                `Memory`.
        """
        shapes = tuple(query_shape), values_shape(memory_shape)
        for layer in (self.score, self.window):
            if layer is not None and not layer.built:
                layer.build(*shapes)
        if not self.probability.built:
            self.probability.build()

    def context_size(self, memory_shape: Any) -> int:
        return int(values_shape(memory_shape)[-1])

    def prepare(self, values: Any) -> Any:
        return self.score.keys(values)

    def initial_state(self, memory: Memory) -> State:
        dtype, mask = weights_dtype(self), memory.mask
        return (
            self.score.initial_state(memory.keys, mask, dtype),
            self.probability.initial_state(mask, dtype),
            self.window.initial_state(mask, dtype) if self.window else (),
        )

    def unroll(self, state: State, steps: Any) -> tuple[State, State]:
        # A mechanism that follows no alignment can have a state only in its window.
        states, after = self.window.unroll(state[2], steps) if self.window else ((), ())
        return ((), (), states), ((), (), after)

    def noise(self, memory: Memory, steps: Any) -> State:
        batch, length = ops.shape(memory.mask)[0], ops.shape(memory.mask)[1]
        shape = (batch, steps, length)
        factors: State = ()
        if self.dropout:
            factors = (self.dropping(ops.ones(shape, dtype=weights_dtype(self)), training=True),)
        return factors, self.probability.noise(shape, weights_dtype(self))

    def attend(
        self, query: Any, memory: Memory, state: State, noise: State
    ) -> tuple[Any, Any, State]:
        keys, values, mask = memory
        for_score, for_probability, for_window = state
        dropout_factors, score_noise = noise or ((), ())
        scores = self.score(query, keys, *for_score)
        scores = ops.cast(scores, weights_dtype(self))  # (B, K, S)
        mask = ops.expand_dims(mask, 1)  # (B, 1, S)
        factor = None
        if self.window is not None:
            inside, factor = self.window(query, mask, *for_window)
            mask = ops.logical_and(mask, inside)
        probabilities = self.probability(scores, mask, *for_probability, *score_noise)
        weights = probabilities
        if factor is not None:
            weights = weights * ops.cast(factor, weights.dtype)
        dropped = weights * dropout_factors[0] if dropout_factors else weights
        context = ops.matmul(ops.cast(dropped, values.dtype), values)  # (B, K, M)
        state = (
            self.score.advance(for_score, weights, keys),
            # Takes the weights without the window's factor, which would else multiply at every
            # step.
            self.probability.advance(for_probability, probabilities),
            self.window.advance(for_window) if self.window else (),
        )
        return context, weights, state

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "score": serialize(self.score),
            "probability": serialize(self.probability),
            "window": serialize(self.window),
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Attention:
        parts: dict[str, Any] = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("score", "probability", "window")
        }
        return cls(**{**config, **parts})
