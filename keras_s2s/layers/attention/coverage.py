"""Coverage attention: the score sees how much each source token was attended to so far."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from keras_s2s.layers.attention.memory import Shape
from keras_s2s.layers.attention.scores import ConcatScore, named_score
from keras_s2s.layers.scan import Tensors
from keras_s2s.system.checks import check_optional_positive


@named_score("coverage")
class CoverageScore(ConcatScore):
    """Scores with concat and a linguistic coverage of each source token (Tu et al. 2016, §3.1.1).

    ```
    score(q, v_s) = wᵀ·tanh(Wq·q + Wv·v_s + u·C_s),   C_s = Σ of all previous weights of s / Φ_s
    Φ_s = N·σ(fᵀ·v_s)                                 with fertility N; Φ_s = 1 without it
    ```

    Args:
        units: width `A` of the projections; the decoder's width when omitted.
        fertility: `N`, the largest number of target tokens that one source token is expected to
            produce; None leaves fertility out.

    Example: `w = 10`, `u = −ln 3`, and query and values are zero. Token 0 has been covered once,
    so its score is 10·tanh(−ln 3) = −8, because tanh(ln 3) = (3 − ⅓) / (3 + ⅓) = 0.8. With `N = 1`
    each Φ is σ(0) = ½, so weights of 0, ½ and ½ raise the coverage by 0, 1 and 1.
    >>> import numpy as np
    >>> score = CoverageScore(units=1, fertility=1.0)
    >>> score.build((1, 1, 1), (1, 3, 1))
    >>> one = np.ones((1, 1))
    >>> score.set_weights([one, one, 10 * one, -np.log([3]), one])
    >>> keys = score.keys(np.zeros((1, 3, 1), "float32"))
    >>> covered = np.array([[[1, 0, 0]]], "float32")
    >>> score(np.zeros((1, 1, 1)), keys, covered).numpy().round(3).tolist()
    [[[-8.0, 0.0, 0.0]]]
    >>> (covered,) = score.advance((covered,), np.array([[[0, 0.5, 0.5]]], "float32"), keys)
    >>> covered.numpy().tolist()
    [[[1.0, 1.0, 1.0]]]
    """

    follows_alignment: ClassVar[bool] = True

    def __init__(
        self, units: int | None = None, fertility: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(units, **kwargs)
        check_optional_positive("fertility", fertility)
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
        return self._compare(ops.expand_dims(query, 2) + ops.expand_dims(keys, 1) + covered)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fertility": self.fertility}
