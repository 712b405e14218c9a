"""The cells LSTM and GRU, with one step forward and one step back for the gradient."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_s2s.layers.recurrent.gradient import column_sums
from keras_s2s.layers.recurrent.layer import Recurrent, named_cell
from keras_s2s.layers.recurrent.masks import apply_dropout
from keras_s2s.layers.scan import Tensors


@named_cell("lstm")
class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    ```
    i, f, g, o = split(x·W + h·R + b)
    c' = σ(f)·c + σ(i)·tanh(g)
    h' = σ(o)·tanh(c')
    ```

    The state is `(h, c)`. The forget gate's bias starts at one, as in `keras.layers.LSTM`.

    Args:
        units: width `U` of the output and of each state tensor.
        recurrent_dropout: share of `h` that training drops where `h` enters the recurrent product.

    Example:
    >>> import numpy as np
    >>> outputs, (h, c) = LSTM(8)(np.zeros((2, 5, 3), "float32"))
    >>> outputs.shape, h.shape
    (TensorShape([2, 5, 8]), TensorShape([2, 8]))
    """

    gates = 4
    states = 2
    saved = 4
    pre_activations = 1
    cudnn_mode: str | None = "lstm"

    def _initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        blocks = [ops.zeros((self.units,), dtype=dtype) for _ in range(self.gates)]
        blocks[1] = ops.ones((self.units,), dtype=dtype)
        return ops.concatenate(blocks)

    def _input_weights(self) -> Tensors:
        return (
            ops.cast(self.kernel, self.compute_dtype),
            ops.cast(self.bias, self.compute_dtype),
        )

    def _recurrent_weights(self) -> Tensors:
        return (ops.cast(self.recurrent_kernel, self.compute_dtype),)

    def _advance(
        self, projected: Any, state: Tensors, weights: Tensors, dropout_mask: Tensors
    ) -> tuple[Tensors, Tensors]:
        h, c = state
        pre = projected + ops.matmul(apply_dropout(h, dropout_mask), weights[0])  # (B, 4U)
        pre_i, pre_f, pre_g, pre_o = ops.split(pre, 4, axis=-1)
        i, f, o = ops.sigmoid(pre_i), ops.sigmoid(pre_f), ops.sigmoid(pre_o)
        g = ops.tanh(pre_g)
        c = f * c + i * g
        return (o * ops.tanh(c), c), (i, f, g, o)

    def _slopes(self, before: Tensors, after: Tensors, saved: Tensors) -> Tensors:
        i, f, g, o = saved
        squashed = ops.tanh(after[1])
        return (
            o * (1 - squashed * squashed),  # ∂h'/∂c'
            g * i * (1 - i),  # slopes of the four pre-activations: i, f and g of c', o of h'
            before[1] * f * (1 - f),
            i * (1 - g * g),
            squashed * o * (1 - o),
            f,  # ∂c'/∂c
        )

    def _retreat(
        self, d_new: Tensors, slopes: Tensors, transposed_kernel: Any, dropout_mask: Tensors
    ) -> tuple[Tensors, Tensors]:
        d_h, d_c = d_new
        c_by_h, *by_c, o_by_h, c_by_c = slopes
        d_c = d_c + d_h * c_by_h
        d_pre = ops.concatenate([*(d_c * slope for slope in by_c), d_h * o_by_h], axis=-1)
        d_before = apply_dropout(
            ops.matmul(d_pre, transposed_kernel), dropout_mask
        )  # d_pre is (B, 4U)
        return (d_before, d_c * c_by_c), (d_pre,)

    def _recurrent_gradients(self, entered: Any, d_steps: Any) -> Tensors:
        return (ops.matmul(ops.transpose(entered), d_steps),)


@named_cell("gru")
class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014), whose reset gate follows the recurrent product.

    ```
    z = σ(x·Wz + bz + h·Rz + cz)        r = σ(x·Wr + br + h·Rr + cr)
    n = tanh(x·Wn + bn + r·(h·Rn + cn))
    h' = z·h + (1 − z)·n
    ```

    It computes the same as `keras.layers.GRU(reset_after=True)`, as cuDNN's GRU and as ONNX' GRU
    with `linear_before_reset=1`. The state is `(h,)`. The bias is `(2, 3U)`. Its first row belongs
    to the inputs.

    Args:
        units: width `U` of the output and of the state.
        recurrent_dropout: share of `h` that training drops where `h` enters the recurrent product.

    Example:
    >>> import numpy as np
    >>> outputs, (h,) = GRU(8)(np.zeros((2, 5, 3), "float32"))
    >>> outputs.shape, h.shape
    (TensorShape([2, 5, 8]), TensorShape([2, 8]))
    """

    gates = 3
    states = 1
    saved = 4
    pre_activations = 2
    cudnn_mode = "gru"

    def _bias_shape(self) -> tuple[int, ...]:
        return (2, self.gates * self.units)

    def _input_weights(self) -> Tensors:
        return (
            ops.cast(self.kernel, self.compute_dtype),
            ops.cast(self.bias[0], self.compute_dtype),
        )

    def _recurrent_weights(self) -> Tensors:
        return (
            ops.cast(self.recurrent_kernel, self.compute_dtype),
            ops.cast(self.bias[1], self.compute_dtype),
        )

    def _advance(
        self, projected: Any, state: Tensors, weights: Tensors, dropout_mask: Tensors
    ) -> tuple[Tensors, Tensors]:
        (h,) = state
        inner = ops.matmul(apply_dropout(h, dropout_mask), weights[0]) + weights[1]  # (B, 3U)
        x_z, x_r, x_n = ops.split(projected, 3, axis=-1)
        h_z, h_r, h_n = ops.split(inner, 3, axis=-1)
        z, r = ops.sigmoid(x_z + h_z), ops.sigmoid(x_r + h_r)
        n = ops.tanh(x_n + r * h_n)
        return (z * h + (1 - z) * n,), (z, r, n, h_n)

    def _slopes(self, before: Tensors, after: Tensors, saved: Tensors) -> Tensors:
        z, r, n, h_n = saved
        by_n = (1 - z) * (1 - n * n)
        return (
            (before[0] - n) * z * (1 - z),
            by_n * h_n * r * (1 - r),
            by_n,  # where the inputs enter
            by_n * r,  # where the recurrent product enters
            z,  # slope of h on its way past all gates
        )

    def _retreat(
        self, d_new: Tensors, slopes: Tensors, transposed_kernel: Any, dropout_mask: Tensors
    ) -> tuple[Tensors, Tensors]:
        (d_h,) = d_new
        d_z, d_r, d_n, d_h_n, d_past = (d_h * slope for slope in slopes)
        d_inner = ops.concatenate([d_z, d_r, d_h_n], axis=-1)  # (B, 3U)
        d_before = apply_dropout(ops.matmul(d_inner, transposed_kernel), dropout_mask) + d_past
        return (d_before,), (ops.concatenate([d_z, d_r, d_n], axis=-1), d_inner)

    def _recurrent_gradients(self, entered: Any, d_steps: Any) -> Tensors:
        return ops.matmul(ops.transpose(entered), d_steps), column_sums(d_steps)
