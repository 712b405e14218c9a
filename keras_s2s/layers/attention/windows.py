"""Windows: local attention looks at a stretch of the source (Luong et al. 2015, §3.2)."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from keras_s2s.layers.attention.memory import Shape, positions, weights_dtype
from keras_s2s.layers.scan import Tensors
from keras_s2s.system.checks import check_optional_size, check_size


class Window(keras.layers.Layer):
    """Which positions may be attended to, and a factor on their weights. Use a subclass.

    Positions count real tokens from 0, so padding moves nothing.

    Args:
        radius: `D`; positions up to `D` from the centre are inside.
    """

    remembers: ClassVar[bool] = False  # whether there is a state

    def __init__(self, radius: int, **kwargs: Any) -> None:
        # Positions and their factors stay in float32 whatever the policy.
        super().__init__(autocast=False, **kwargs)
        check_size("radius", radius)
        self.radius = radius

    def build(self, query_shape: Shape, values_shape: Shape) -> None:
        """Makes the weights for queries `(B, T, U)`."""

    def call(self, query: Any, mask: Any, *state: Any) -> tuple[Any, Any]:
        """Queries `(B, T, U)` and a mask `(B, 1, S)` to `(inside, factor)` of `(B, T, S)`.

        `factor` is None where weights stay as they are.
        """
        raise NotImplementedError

    def initial_state(self, mask: Any, dtype: str) -> Tensors:
        """What the first step sees: tensors `(B, 1)` in `dtype`."""
        return ()

    def advance(self, state: Tensors) -> Tensors:
        """The state after one step. A window follows no alignment, so nothing else is needed."""
        return ()

    def unroll(self, state: Tensors, steps: Any) -> tuple[Tensors, Tensors]:
        """The states of all steps, `(B, T, 1)`, and the one after them, `(B, 1)`."""
        return (), ()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "radius": self.radius}


@keras.saving.register_keras_serializable(package="keras_s2s")
class LocalMonotonicWindow(Window):
    """Local-m: the window moves on by one source token a step, `p_t = t`.

    The weights are a softmax within `[t − D, t + D]`. Where the window has left the source there is
    nothing to attend to: weights and context are zero.

    Args:
        radius: `D`.

    Example: scores are equal, so the weights are what is inside: tokens 0 and 1, then 0 to 2, then
    1 and 2.
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
    """Local-p: the decoder state says where to look, and a Gaussian favours the centre.

    ```
    p_t = S·σ(v_pᵀ·tanh(W_p·h_t))                    S real source tokens
    weights_s = softmax(score)_s · exp(−(s − p_t)² / 2σ²),   σ = D/2, within [p_t − D, p_t + D]
    ```

    (Luong et al. 2015, eq. 9 and 10.) The softmax is over the window, and the weights sum to less
    than one. A mechanism that goes on from its weights does so from those of this formula, a
    monotonic probability function from its own, without the Gaussian.

    Args:
        radius: `D`.
        units: width of `W_p`; the decoder's width when omitted.

    Example: with `v_p = 0` the centre is 3·σ(0) = 1.5. Tokens 1 and 2 are ½ away, which is one σ
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
