"""Location-sensitive attention: the score sees where the previous step attended."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from keras_s2s.layers.attention.memory import Shape
from keras_s2s.layers.attention.scores import ConcatScore, named_score
from keras_s2s.layers.scan import Tensors
from keras_s2s.system.checks import check_flags, check_size


@named_score("location")
class LocationScore(ConcatScore):
    """Scores with concat and with the location of the previous weights.

    Chorowski et al. (2015), equations 8 and 9:

    ```
    f = F ∗ a⁻                             a convolution over the previous weights, r filters
    score(q, v_s) = wᵀ·tanh(Wq·q + Wv·v_s + U·f_s + b)
    ```

    Before the first step `a⁻` is zero. A filter of `width` k is centred: `f_s` sees the positions
    `s − (k − 1) // 2` to `s + k // 2`, and reads zero outside the source. A filter counts padding
    as positions too. So padding at the ends changes nothing, but padding between tokens does.

    Args:
        units: width `A` of the projections; the decoder's width when omitted.
        filters: number `r` of filters.
        width: number of source positions that a filter sees.
        cumulative: True to convolve the sum of all previous weights instead of the weights of the
            last step (Shen et al. 2018, Tacotron 2, §2.2).

    Example: `w = 10`, `U = ln 3`, and query and values are zero. The one filter, of three
    positions, gives each token the weight of its left neighbour. The last step attended to
    token 0, so the score of token 1 is 10·tanh(ln 3) = 8, because
    tanh(ln 3) = (3 − ⅓) / (3 + ⅓) = 0.8.
    >>> import numpy as np
    >>> score = LocationScore(units=1, filters=1, width=3)
    >>> score.build((1, 1, 1), (1, 3, 1))
    >>> one, filters = np.ones((1, 1)), np.array([1, 0, 0]).reshape(3, 1, 1)
    >>> score.set_weights([one, one, 10 * one, filters, np.log(3) * one, np.zeros(1)])
    >>> keys = score.keys(np.zeros((1, 3, 1), "float32"))
    >>> score(np.zeros((1, 1, 1)), keys, np.array([[[1.0, 0, 0]]])).numpy().round(3).tolist()
    [[[0.0, 8.0, 0.0]]]
    """

    follows_alignment: ClassVar[bool] = True

    def __init__(
        self,
        units: int | None = None,
        filters: int = 32,
        width: int = 31,
        cumulative: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        check_size("filters", filters)
        check_size("width", width)
        check_flags(cumulative=cumulative)
        self.filters = filters
        self.width = width
        self.cumulative = cumulative

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        super().build(query_shape, values_shape)
        units = self.vector.shape[0]
        self.filter_kernel = self.add_weight(
            name="filter_kernel", shape=(self.width, 1, self.filters), initializer="glorot_uniform"
        )
        self.location_kernel = self.add_weight(
            name="location_kernel", shape=(self.filters, units), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")

    def keys(self, values: Any) -> Any:
        return super().keys(values) + ops.cast(self.bias, values.dtype)

    def initial_state(self, keys: Any, mask: Any, dtype: str) -> Tensors:
        return (ops.zeros_like(ops.cast(mask, dtype)),)

    def advance(self, state: Tensors, weights: Any, keys: Any) -> Tensors:
        return (state[0] + weights if self.cumulative else weights,)

    def call(self, query: Any, keys: Any, *state: Any) -> Any:
        (previous,) = state
        shape = ops.shape(previous)  # (B, T, S)
        features = ops.conv(
            ops.reshape(previous, (-1, shape[-1], 1)),
            ops.cast(self.filter_kernel, previous.dtype),
            padding="same",
            data_format="channels_last",
        )
        # The features become a matrix, because in a loop XLA fails on the gradient of a product
        # with more axes.
        features = ops.reshape(ops.cast(features, query.dtype), (-1, self.filters))
        located = ops.matmul(features, ops.cast(self.location_kernel, query.dtype))
        located = ops.reshape(located, (*shape, self.vector.shape[0]))  # (B, T, S, A)
        query = ops.matmul(query, ops.cast(self.query_kernel, query.dtype))  # (B, T, A)
        return self._compare(ops.expand_dims(query, 2) + ops.expand_dims(keys, 1) + located)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "width": self.width,
            "cumulative": self.cumulative,
        }
