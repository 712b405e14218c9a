"""The LSTM with layer normalisation inside the cell."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_s2s.layers.recurrent.cells import LSTM
from keras_s2s.layers.recurrent.layer import named_cell
from keras_s2s.layers.recurrent.masks import apply_dropout
from keras_s2s.layers.scan import Tensors

EPSILON = 1e-3


@named_cell("layer_norm_lstm")
class LayerNormLSTM(LSTM):
    """An LSTM that normalises its products and its cell state (Ba et al. 2016, eq. 20–22).

    ```
    i, f, g, o = split(LN(x·W) + LN(h·R) + b)
    c' = LN(σ(f)·c + σ(i)·tanh(g))
    h' = σ(o)·tanh(c')
    LN(a) = gain·(a − mean(a)) / √(var(a) + 1e-3) + offset
    ```

    As in `tfa.rnn.LayerNormLSTMCell`, the normalised `c` is the state that is carried on.

    Args:
        units: width `U` of the output and of each state tensor.
        recurrent_dropout: share of `h` that training drops where `h` enters the recurrent product.

    Example:
    >>> import numpy as np
    >>> outputs, (h, c) = LayerNormLSTM(8)(np.zeros((2, 5, 3), "float32"))
    >>> outputs.shape, h.shape
    (TensorShape([2, 5, 8]), TensorShape([2, 8]))
    """

    own_gradient = False
    cudnn_mode = None

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        super().build(inputs_shape)
        columns = self.gates * self.units
        for name, size in (("kernel", columns), ("recurrent", columns), ("state", self.units)):
            for kind, start in (("gain", "ones"), ("offset", "zeros")):
                weight = self.add_weight(name=f"{name}_{kind}", shape=(size,), initializer=start)
                setattr(self, f"{name}_{kind}", weight)

    def _normalized(self, x: Any, gain: Any, offset: Any) -> Any:
        # The mean and the variance of half-precision numbers are computed in float32.
        at_least = "float64" if self.compute_dtype == "float64" else "float32"
        wide = ops.cast(x, at_least)
        mean = ops.mean(wide, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(wide - mean), axis=-1, keepdims=True)
        wide = (wide - mean) * ops.rsqrt(variance + EPSILON)
        return ops.cast(wide * ops.cast(gain, at_least) + ops.cast(offset, at_least), x.dtype)

    def _project(self, inputs: Any) -> Any:
        product = ops.matmul(inputs, ops.cast(self.kernel, self.compute_dtype))
        product = self._normalized(product, self.kernel_gain, self.kernel_offset)
        return product + ops.cast(self.bias, self.compute_dtype)

    def _recurrent_weights(self) -> Tensors:
        return (
            ops.cast(self.recurrent_kernel, self.compute_dtype),
            self.recurrent_gain,
            self.recurrent_offset,
            self.state_gain,
            self.state_offset,
        )

    def _advance(
        self, projected: Any, state: Tensors, weights: Tensors, dropout_mask: Tensors
    ) -> tuple[Tensors, Tensors]:
        kernel, gain, offset, state_gain, state_offset = weights
        h, c = state
        inner = ops.matmul(apply_dropout(h, dropout_mask), kernel)
        pre = projected + self._normalized(inner, gain, offset)  # (B, 4U)
        i, f, g, o = ops.split(pre, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        c = self._normalized(c, state_gain, state_offset)
        return (ops.sigmoid(o) * ops.tanh(c), c), ()
