"""Windows, which limit attention to a stretch of the source (Luong et al. 2015, §3.2)."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from keras_s2s.layers.attention.memory import Shape, positions, weights_dtype
from keras_s2s.layers.scan import Tensors
from keras_s2s.system.checks import check_optional_size, check_size


class Window(keras.layers.Layer):
    """A window of source positions that each query may attend to. Abstract.

    A window may also multiply the weights inside it by a factor. Positions count real tokens from
    0, so padding moves nothing.

    A window of your own subclasses `Window` and defines `call`. It defines `build` if it has
    weights. A window that moves from step to step sets `remembers` and defines `initial_state`,
    `advance` and `unroll`; `call` then takes the state's tensors as arguments after the mask.

    Args:
        radius: `D`; positions up to `D` from the centre are inside.

    Example: A window on the start of the source, whatever the query. All scores are equal, so the
    weights are equal within the first two of three tokens.
    >>> import numpy as np
    >>> from keras import ops
    >>> class PrefixWindow(Window):
    ...     def call(self, query, mask):
    ...         position = ops.cumsum(ops.cast(mask, "int32"), axis=-1) - 1  # (B, 1, S)
    ...         return position <= self.radius, None
    >>> attention = Attention("dot", window=PrefixWindow(1))
    >>> encoded = Encoded(np.ones((1, 3, 2), "float32"), np.ones((1, 3), bool))
    >>> context, weights = attention(np.ones((1, 1, 2), "float32"), encoded)
    >>> weights.numpy().tolist()
    [[[0.5, 0.5, 0.0]]]
    """

    remembers: ClassVar[bool] = False  # whether the window has a state

    def __init__(self, radius: int, **kwargs: Any) -> None:
        # Positions and factors stay in float32 or float64 under any policy.
        super().__init__(autocast=False, **kwargs)
        check_size("radius", radius)
        self.radius = radius

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        """Makes the weights for queries `(B, T, U)`."""

    def call(self, query: Any, mask: Any, *state: Any) -> tuple[Any, Any]:
        """Returns which positions are inside the window, and a factor for their weights.

        Args:
            query: `(B, T, U)` float.
            mask: `(B, 1, S)` bool, True where the source has a real token.
            *state: tensors `(B, T, 1)`, the state of each step.

        Returns:
            `(inside, factor)`: bool and float tensors whose shapes broadcast to `(B, T, S)`; the
            factor is None for a window that leaves the weights inside as they are.
        """
        raise NotImplementedError

    def initial_state(self, mask: Any, dtype: str) -> Tensors:
        """Returns the state before the first step: tensors `(B, 1)` in `dtype`."""
        return ()

    def advance(self, state: Tensors) -> Tensors:
        """Returns the state after one step. It depends only on the state before, not on weights."""
        return ()

    def unroll(self, state: Tensors, steps: Any) -> tuple[Tensors, Tensors]:
        """Returns the states of all steps, `(B, T, 1)`, and the state after them, `(B, 1)`."""
        return (), ()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "radius": self.radius}


@keras.saving.register_keras_serializable(package="keras_s2s")
class LocalMonotonicWindow(Window):
    """A window whose centre moves on by one source token at each step, `p_t = t`.

    This is the local-m attention of Luong et al. (2015, §3.2). The weights are a softmax within `[t
    − D, t + D]`. A window that has left the source has nothing to attend to, so weights and context
    are zero.

    Args:
        radius: `D`; positions up to `D` from the centre are inside.

    Example: All scores are equal, so the weights are equal inside the window: over tokens 0 and 1,
    then 0 to 2, then 1 and 2.
    >>> import numpy as np
    >>> attention = Attention("dot", window=LocalMonotonicWindow(1))
    >>> encoded = Encoded(np.ones((1, 3, 2), "float32"), np.ones((1, 3), bool))
    >>> context, weights = attention(np.ones((1, 3, 2), "float32"), encoded)
    >>> weights[0].numpy().round(2)
    array([[0.5 , 0.5 , 0.  ],
           [0.33, 0.33, 0.33],
           [0.  , 0.5 , 0.5 ]], dtype=float32)
    """

    remembers: ClassVar[bool] = True

    def call(self, query: Any, mask: Any, step: Any) -> tuple[Any, Any]:
        return ops.absolute(positions(mask, step.dtype) - step) <= self.radius, None

    def initial_state(self, mask: Any, dtype: str) -> Tensors:
        return (ops.zeros_like(ops.cast(mask[:, :1], dtype)),)

    def advance(self, state: Tensors) -> Tensors:
        return (state[0] + 1.0,)

    def unroll(self, state: Tensors, steps: Any) -> tuple[Tensors, Tensors]:
        counts = ops.cast(ops.arange(steps), state[0].dtype)
        return (
            (state[0][:, :, None] + counts[None, :, None],),
            (state[0] + ops.cast(steps, state[0].dtype),),
        )


@keras.saving.register_keras_serializable(package="keras_s2s")
class LocalPredictiveWindow(Window):
    """A window whose centre the decoder state predicts, with a Gaussian around the centre.

    This is the local-p attention of Luong et al. (2015, eq. 9 and 10).

    ```
    p_t = S·σ(v_pᵀ·tanh(W_p·h_t))                    with S real source tokens
    weights_s = softmax(score)_s · exp(−(s − p_t)² / 2σ²),   σ = D/2, within [p_t − D, p_t + D]
    ```

    The softmax is over the window, and the weights sum to less than one. A score that follows past
    alignments continues from the weights of this formula. A monotonic probability function
    continues from its own weights, without the Gaussian.

    Args:
        radius: `D`; positions up to `D` from the centre are inside.
        units: width of `W_p`; the decoder's width when omitted.

    Example: With `v_p = 0` the centre is 3·σ(0) = 1.5. Tokens 1 and 2 are ½ away, which is one σ
    of D/2: exp(−½) = 0.607. Token 0 is more than `D` away.
    >>> import numpy as np
    >>> window = LocalPredictiveWindow(1, units=3)
    >>> window.build((None, None, 2), (None, None, 2))
    >>> window.set_weights([np.ones((2, 3)), np.zeros((3, 1))])
    >>> query, mask = np.ones((1, 1, 2), "float32"), np.ones((1, 1, 3), bool)
    >>> inside, factor = window(query, mask)
    >>> inside.numpy().tolist(), factor.numpy().round(3)
    ([[[False, True, True]]], array([[[0.   , 0.607, 0.607]]], dtype=float32))
    """

    def __init__(self, radius: int, units: int | None = None, **kwargs: Any) -> None:
        super().__init__(radius, **kwargs)
        check_optional_size("units", units)
        self.units = units

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        units = self.units or query_shape[-1]
        self.position_kernel = self.add_weight(
            name="position_kernel", shape=(query_shape[-1], units), initializer="glorot_uniform"
        )
        self.position_vector = self.add_weight(
            name="position_vector", shape=(units, 1), initializer="glorot_uniform"
        )

    def call(self, query: Any, mask: Any) -> tuple[Any, Any]:
        dtype = weights_dtype(self)
        hidden = ops.tanh(ops.matmul(query, ops.cast(self.position_kernel, query.dtype)))
        share = ops.matmul(hidden, ops.cast(self.position_vector, query.dtype))  # (B, T, 1)
        length = ops.sum(ops.cast(mask, dtype), axis=-1, keepdims=True)  # (B, 1, 1)
        centre = length * ops.sigmoid(ops.cast(share, dtype))
        distance = positions(mask, dtype) - centre  # (B, T, S)
        factor = ops.exp(-2.0 * ops.square(distance / self.radius))
        inside = ops.absolute(distance) <= self.radius
        return inside, ops.where(inside, factor, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
