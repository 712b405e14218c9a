"""Coverage in the score: what was attended to already counts less, or more."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from keras_s2s.attention.memory import Shape
from keras_s2s.attention.scores import ConcatScore, named_score
from keras_s2s.scan import Tensors


@named_score("coverage")
class CoverageScore(ConcatScore):
    """Concat with linguistic coverage (Tu et al. 2016, §3.1.1).

    ```
    score(q, v_s) = wᵀ·tanh(Wq·q + Wv·v_s + u·C_s),   C_s = Σ of all previous weights of s / Φ_s
    Φ_s = N·σ(fᵀ·v_s)                                 with fertility N; 1 without
    ```

    Args:
        units: width `A` of the projections; the decoder's width when omitted.
        fertility: `N`, the most target tokens a source token is expected to make; None leaves
            fertility out.

    Example:
    >>> import numpy as np
    >>> attention = Attention(CoverageScore(units=6, fertility=2.0))
    >>> query, values = np.ones((1, 4, 8), "float32"), np.ones((1, 3, 6), "float32")
    >>> context, weights = attention(query, Encoded(values, np.ones((1, 3), bool)))
    >>> weights.shape
    TensorShape([1, 4, 3])
    """

    follows_alignment: ClassVar[bool] = True

    def __init__(
        self, units: int | None = None, fertility: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(units, **kwargs)
        is_number = isinstance(fertility, (int, float)) and not isinstance(fertility, bool)
        if fertility is not None and not (is_number and fertility > 0):
            raise ValueError(
                f"`fertility` must be a number above 0 or None; got fertility={fertility!r}."
            )
        self.fertility = fertility

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        super().build(query_shape, values_shape)
        units = self.vector.shape[0]
        self.coverage_vector = self.add_weight(
            name="coverage_vector", shape=(units,), initializer="random_uniform"
        )
        if self.fertility is not None:
            self.fertility_vector = self.add_weight(
                name="fertility_vector", shape=(values_shape[-1], 1), initializer="glorot_uniform"
            )

    def keys(self, values: Any) -> Any:
        keys = super().keys(values)
        if self.fertility is None:
            return keys
        product = ops.matmul(values, ops.cast(self.fertility_vector, values.dtype))  # (B, S, 1)
        return keys, self.fertility * ops.sigmoid(product)

    def initial_state(self, keys: Any, mask: Any, dtype: str) -> Tensors:
        return (ops.zeros_like(ops.cast(mask, dtype)),)

    def advance(self, state: Tensors, weights: Any, keys: Any) -> Tensors:
        if self.fertility is not None:
            weights = weights / ops.cast(keys[1][:, None, :, 0], weights.dtype)
        return (state[0] + weights,)

    def call(self, query: Any, keys: Any, *state: Any) -> Any:
        (covered,) = state
        if self.fertility is not None:
            keys = keys[0]
        query = ops.matmul(query, ops.cast(self.query_kernel, query.dtype))  # (B, T, A)
        covered = ops.cast(covered[:, :, :, None], query.dtype)
        covered = covered * ops.cast(self.coverage_vector, query.dtype)  # (B, T, S, A)
        return self._compare(query[:, :, None, :] + keys[:, None, :, :] + covered)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fertility": self.fertility}
