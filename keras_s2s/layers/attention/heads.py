"""Multi-head attention: each head attends over its own projections of query and values."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.layers.attention.attention import Attention
from keras_s2s.layers.attention.group import Group
from keras_s2s.layers.attention.mechanism import Part, State, resolved_part
from keras_s2s.layers.attention.memory import Memory, Shape, values_shape
from keras_s2s.layers.attention.probability import PROBABILITIES, Probability
from keras_s2s.layers.attention.scores import SCORES, Score
from keras_s2s.layers.attention.windows import Window
from keras_s2s.system.checks import check_size


@keras.saving.register_keras_serializable(package="keras_s2s")
class MultiHeadAttention(Group):
    """Attends with several heads, each over projections of its own (Vaswani et al. 2017, §3.2.2).

    ```
    head_i = attention_i(query·Q_i, values·K_i, values·V_i)      each of width units / heads
    context = [head_1; …; head_H]·O                              of width units
    ```

    The weights returned are the mean over the heads. The score 'scaled_dot' makes this the
    multi-head attention of the paper. With any other score, each head has a score of its own.

    Args:
        score: name of a score, or a `Score` to be copied for each head.
        heads: number `H` of heads.
        units: width of the context, a multiple of `heads`; the decoder's width when omitted.
        probability: name of a probability function, or a `Probability` to be copied for each head.
        window: a `Window` to be copied for each head; None attends to the whole source.
        dropout: share of the weights that training drops in each head, as in `Attention`.

    Example: All kernels leave their input as it is, so head 1 reads the first component of query
    and values, and head 2 the second. The third token is padding. In head 1, the scores 0 and ln 2
    give the weights ⅓ and ⅔ and the context ⅓·0 + ⅔·1 = 0.667. In head 2, the scores 0 and 0 give
    the weights ½ and ½ and the context ½·3 = 1.5. The mean weights are (⅓ + ½)/2 = 0.417 and
    (⅔ + ½)/2 = 0.583.
    >>> import numpy as np
    >>> attention = MultiHeadAttention(heads=2)
    >>> attention.build((1, 1, 2), (1, 3, 2))
    >>> attention.set_weights([np.eye(2)] * 4)
    >>> query = np.array([[[np.log(2), 0]]], "float32")
    >>> values = np.array([[[0, 3], [1, 0], [2, 5]]], "float32")
    >>> context, weights = attention(query, Encoded(values, np.array([[True, True, False]])))
    >>> context.numpy().round(3), weights.numpy().round(3)
    (array([[[0.667, 1.5  ]]], dtype=float32), array([[[0.417, 0.583, 0.   ]]], dtype=float32))
    """

    def __init__(
        self,
        score: str | Score = "scaled_dot",
        heads: int = 4,
        units: int | None = None,
        probability: str | Probability = "softmax",
        window: Window | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_size("heads", heads)
        if units is not None:
            check_size("units", units)
        policy = self.dtype_policy
        self.heads = heads
        self.units = units
        self.dropout = dropout
        self.score = resolved_part("score", score, Score, SCORES, policy)
        self.probability = resolved_part(
            "probability", probability, Probability, PROBABILITIES, policy
        )
        self.window = window
        if units is not None:
            self._head_size(units)
        self.members = [self._head(i) for i in range(heads)]

    def _head(self, i: int) -> Attention:
        return Attention(
            _copy(self.score),
            _copy(self.probability),
            None if self.window is None else _copy(self.window),
            self.dropout,
            dtype=self.dtype_policy,
            name=f"head_{i}",
        )

    def _head_size(self, units: int) -> int:
        """Returns the width of one head."""
        if units % self.heads:
            raise ValueError(
                "`units` must be a multiple of `heads`; got "
                f"units={units}, heads={self.heads}."
                + (" `units` is the decoder's width unless given." if self.units is None else "")
            )
        return units // self.heads

    def build(self, query_shape: Shape, memory_shape: Any) -> None:
        values = values_shape(memory_shape)
        self.width = self.units or int(query_shape[-1] or 0)
        size = self._head_size(self.width)
        for name, rows in (
            ("query", query_shape[-1]),
            ("keys", values[-1]),
            ("values", values[-1]),
        ):
            kernel = self.add_weight(
                name=f"{name}_kernel", shape=(rows, self.width), initializer="glorot_uniform"
            )
            setattr(self, f"{name}_kernel", kernel)
        self.output_kernel = self.add_weight(
            name="output_kernel", shape=(self.width, self.width), initializer="glorot_uniform"
        )
        for member in self.members:
            if not member.built:
                member.build((None, None, size), (None, None, size))

    def context_size(self, memory_shape: Any) -> int:
        return self.width

    def _projected_heads(self, x: Any, kernel: Any) -> list[Any]:
        """Projects `(B, T, U)` and splits the result into one `(B, T, units / heads)` per head."""
        return list(ops.split(ops.matmul(x, ops.cast(kernel, x.dtype)), self.heads, axis=-1))

    def prepare(self, values: Any) -> Any:
        inputs = self._projected_heads(values, self.keys_kernel)
        pairs = zip(self.members, inputs, strict=True)
        return (
            tuple(member.prepare(head_inputs) for member, head_inputs in pairs),
            tuple(self._projected_heads(values, self.values_kernel)),
        )

    def _memories(self, memory: Memory) -> list[Memory]:
        pairs = zip(*memory.keys, strict=True)
        return [Memory(keys, values, memory.mask) for keys, values in pairs]

    def attend(
        self, query: Any, memory: Memory, state: State, noise: State
    ) -> tuple[Any, Any, State]:
        queries = self._projected_heads(query, self.query_kernel)
        context, weights, state = self._attend_all(queries, memory, state, noise)
        return ops.matmul(context, ops.cast(self.output_kernel, context.dtype)), weights, state

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "score": serialize(self.score),
            "heads": self.heads,
            "units": self.units,
            "probability": serialize(self.probability),
            "window": serialize(self.window),
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MultiHeadAttention:
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("score", "probability", "window")
        }
        return cls(**{**config, **parts})


def _copy(part: Part) -> Part:
    """Returns a copy of a part with the same options and new weights. It need not be registered."""
    return type(part).from_config(part.get_config())
